"""The course around the package: notebooks, runner, exercises, doctor, Kaggle."""
