"""ESRGAN's weights as its later files hold them, from those of other releases and of earlier versions of srkit."""

import re

from torch import Tensor

NAMES = {  # what else the authors, and srkit before, called the weights of the same place
    r"(RRDB_trunk|model\.1\.sub)\.(\d+)\.RDB(\d)\.conv(\d)\.(0\.)?": r"body.\2.rdb\3.conv\4.",
    r"(trunk\.)?body\.\d+\.(?=weight|bias)|model\.1\.sub\.\d+\.(?=weight|bias)|trunk_conv\.": "conv_body.",
    r"(trunk\.)?head\.|model\.0\.": "conv_first.",
    r"upsampler\.1\.|upconv1\.|model\.3\.": "conv_up1.",
    r"upsampler\.4\.|upconv2\.|model\.6\.": "conv_up2.",
    r"upsampler\.7\.|upconv3\.|model\.9\.": "conv_up3.",
    r"tail\.0\.|HRconv\.|model\.(5|8|11)\.": "conv_hr.",
    r"tail\.2\.|model\.(7|10|13)\.": "conv_last.",
}
EARLIER = re.compile(r"(?:trunk\.)?body\.(\d+)\.(\d)\.convs\.(\d)\.(weight|bias)")


def public_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of RRDBNet under the names conv_first, body.N.rdbM.convK, conv_body, conv_up1 ..., conv_last.

    Names that are no other release's stay as they are. Weights of an earlier srkit are rescaled as well: its RRDB was
    0.8 x + 0.2 dense(x), and the public one is x + 0.2 dense(x), where dense is all three dense blocks. Both are one
    function, but for rounding, where block n works on features 1.25^n times as large, and the last convolution of
    its last dense block is 1.25 times as strong and adds 1.25 times the block's own input.
    """
    found = {name: EARLIER.fullmatch(name) for name in state}
    blocks = 1 + max((int(match[1]) for match in found.values() if match), default=-1)
    public = {}
    for name, value in state.items():
        if not found[name]:
            name = _renamed(name)
            public[name] = value / 1.25**blocks if name == "conv_body.weight" else value
            continue
        block, part, conv = (int(number) for number in found[name].groups()[:3])
        last = (part, conv) == (2, 4)
        if found[name][4] == "bias":
            value = value * 1.25 ** (block + last)
        elif last:
            value = 1.25 * value
            itself = range(len(value))
            value[itself, itself, 1, 1] += 1.25
        public[f"body.{block}.rdb{part + 1}.conv{conv + 1}.{found[name][4]}"] = value
    return public


def _renamed(name: str) -> str:
    for other, public in NAMES.items():
        if match := re.match(other, name):
            return match.expand(public) + name[match.end() :]
    return name
