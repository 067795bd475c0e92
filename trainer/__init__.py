"""Training of toonvid's generators, after CartoonGAN.

The paper: Chen, Lai and Liu, "CartoonGAN: Generative Adversarial Networks for Photo
Cartoonization", CVPR 2018. The preset `lite` departs from it in these places, each named again
where it is made:

- The initialization phase repeats an abstraction of the photo, flat colours and ink lines, and not
  the photo itself (`trainer.abstraction`).
- The generator is a small one without normalisation, for real time (`trainer.networks`).
- The content loss compares features of ResNet-50, not of VGG-19 (`trainer.features`), and has plain
  l1 and a stability loss beside it (`trainer.losses`).
- Photos are shown at several sizes, because films are (`trainer.config`).
- What is exported is the running mean of the generator's weights (`trainer.train`).

Importing this package imports nothing else; PyTorch comes with the modules that need it.
"""
