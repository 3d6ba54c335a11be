"""Evaluation: predictions and ground truth → the metrics that papers print."""
