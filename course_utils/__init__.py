"""Helpers of the ResNet course: data, models, training, evaluation and figures."""
