"""MLflow as a view of what lies in runs/ and reports/.

A job's MLflow run carries the job's key as a tag. Logging therefore asks first what is there: a long training writes
while it works, `rediffuse track` fills in whatever is missing, and neither ever logs the same thing twice. Importing
mlflow takes seconds, so only what logs imports it.
"""
