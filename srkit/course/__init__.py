"""The course around the package: notebooks, runner, exercises, editions, grading, doctor, Kaggle."""
