"""The course around the package: notebooks, runner, exercises, editions, grading, doctor, Kaggle."""

from srkit import from_modules

MODULES = {  # what the notebooks call course.NAME
    "controls": "control",
    "exercises": "check",
    "explain": "diagram draw_histories draw_value_and_slope sentences sick_run source value_and_slope",
    "kaggle": "bring_back",
    "notebooks": "environment recipe_names",
    "studies": "picture_scores show_group show_pages study_history",
}
__getattr__, __dir__ = from_modules(__name__, MODULES)
