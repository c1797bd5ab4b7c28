"""Notebook 07 as a web page for a class, by Voila: a kernel of its own for each visitor, and no code shown."""

import asyncio
import errno
import socket

from srkit.files import SrkitError, needed
from srkit.paths import home

RELOAD_SECONDS = 3  # so long a newcomer waits for a place: who reloads the page gives up the old one meanwhile


def serve(
    host: str = "127.0.0.1",
    port: int = 8866,
    sessions: int = 4,
    idle_minutes: float = 15,
    settings: dict[str, object] | None = None,
) -> None:
    """Serve the cells of notebook 07 that are tagged `page`, until stopped.

    sessions: visitors at once; one more is told so. idle_minutes: after which an unused page is forgotten. settings:
    parameters of the notebook by name, instead of its own.
    """
    voila = needed("voila.app", "pip install voila")
    from traitlets.config import Config

    def prepare(request: object, notebook: dict, cwd: str) -> dict:
        request.xsrf_token  # noqa: B018 (sets the cookie without which a page that is left cannot end its kernel)
        words = f"After {idle_minutes:g} idle minutes this page forgets you and your pictures: load it again then."
        return as_page(notebook, settings or {}, words)

    notebook = home() / "notebooks" / "07_playground.ipynb"
    if not notebook.exists():
        raise SrkitError(f"{notebook} is not there: run from a checkout of srkit.")
    _check_port(host, port)
    upload = (settings or {}).get("UPLOAD_MB", 8.0)
    config = Config()
    config.Voila.config_file_paths = []  # a voila.py of the current folder is nobody's order
    config.Voila.update(ip=host, port=port, port_retries=0, open_browser=False, root_dir=str(notebook.parent))
    config.Voila.tornado_settings = {"websocket_max_message_size": int(upload * 1e6) + 1_000_000}
    config.VoilaConfiguration.extension_denylist = ["@jupyter/nbgrader"]  # it wants a JupyterLab around it
    config.VoilaConfiguration.update(
        prelaunch_hook=prepare,
        multi_kernel_manager_class=_places(sessions),
        file_allowlist=[],  # no file of the project is anybody's
        allow_template_override="NO",
        allow_theme_override="NO",
    )
    seconds = max(1, round(60 * idle_minutes))
    interval = max(1, min(60, seconds // 4))
    config.MappingKernelManager.update(cull_idle_timeout=seconds, cull_interval=interval, cull_connected=True)
    print(f"http://{host}:{port}  for {sessions} visitors at once; Ctrl-C ends it.", flush=True)
    voila.Voila.launch_instance([str(notebook)], config=config)


def as_page(notebook: dict, settings: dict[str, object], last_words: str) -> dict:
    """The cells tagged `parameters`, with other values behind them, and `page`; those tagged `quiet` print nothing."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    kept = []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "parameters" in tags or "page" in tags:
            kept.append(cell)
        if "quiet" in tags:
            cell["source"] = f"%%capture\n{cell['source']}"
        if "parameters" in tags and settings:
            kept.append(new_code_cell("\n".join(f"{name} = {value!r}" for name, value in settings.items())))
    notebook["cells"] = [*kept, new_markdown_cell(last_words)]
    return notebook


def _places(sessions: int) -> type:
    """A kernel manager that starts no more than so many kernels, and says why."""
    from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
    from tornado.web import HTTPError

    class Places(AsyncMappingKernelManager):
        async def start_kernel(self, **options: object) -> str:
            self.one = getattr(self, "one", None) or asyncio.Lock()  # one after the other, so that none slips in
            async with self.one:
                for _ in range(10 * RELOAD_SECONDS):
                    if len(self) < sessions:
                        return await super().start_kernel(**options)
                    await asyncio.sleep(0.1)
            places = "The one place here is" if sessions == 1 else f"All {sessions} places here are"
            raise HTTPError(503, reason=f"{places} taken: please try again in some minutes")

    return Places


def _check_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        fault = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
        raise SrkitError(f"port {port} of {host} {fault}: name another one with --port.") from error
