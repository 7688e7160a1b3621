"""Baselines, features, training, evaluation, packaging and tracking of models.

Read `features` (rows to numbers), `scoring` (numbers to scores, without scikit-learn or xgboost), `training` (both fitted),
`evaluation` (what is measured, with intervals), then `packaging` (what the server loads). MLflow is only in `tracking`.
"""
