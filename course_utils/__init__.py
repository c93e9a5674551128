"""Helpers of the ResNet course, in ten rooms.

session     `start`: seed, device, profile and folders of a lesson
data        `load_cifar10`, `load_flowers`, `load_photos`; batches, augmented
models      `resnet18` … `resnext101_32x8d`, `cifar_resnet`, `cifar_plain`
training    `train`, `train_one_epoch`, `evaluate`; one page: `training/loop.py`
pretrained  `load_pretrained`: weights that ship; new heads, freezing
metrics     `collect_logits`, `accuracy`; confusion, calibration, `compare`
explain     feature maps, Grad-CAM, receptive fields, blocks left out
plotting    `plot_history` and every other figure of the lessons
prediction  `load_predictor`, `predict`, `predict_folder`; an image from anywhere
results     runs that were recorded, and the tables made from them

A training and its curves, for any network and two loaders of batches::

    from course_utils.plotting import plot_history
    from course_utils.training import train

    history = train(
        model, loaders.train, loaders.val, num_epochs=6, optimizer=optimizer
    )
    plot_history(history)

`_engine`, the cellar, holds what several rooms need: folders, files, downloads. No
lesson imports it.
"""
