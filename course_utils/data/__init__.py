"""Data sets of the course: found, downloaded or drawn.

- `cifar10`, `flowers`, `flowers102`: the three sets, each one function that loads it.
- `arrays`: small images as one array; whole batches are cropped and flipped at once.
- `photos`: photos of varied size: listed, decoded, transformed.
- `photo_splits`: photos in three parts by seed, a few of each class, their loaders.
- `corruptions`: noise, blur and shift, to make test images harder.
- `images`: any source of an image, made an upright RGB image.
- `layout`, `manifest`, `fallback`: where sets lie, whether they are whole, and what is
  taken where there are none.
"""
