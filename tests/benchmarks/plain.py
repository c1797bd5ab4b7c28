"""The usual way to do what srkit does: a DataLoader over PNG files, and steps as most repositories have them.

Written as one finds it, without srkit's parts but for the networks, so that only the way of training differs.
"""

import random
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from srkit.losses import Perceptual


class Crops(Dataset):
    """One random crop of a PNG file, flipped or turned, and its bicubic LR by Pillow."""

    def __init__(self, paths, scale, crop, length):
        self.paths, self.scale, self.crop, self.length = list(paths), scale, crop, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        with Image.open(self.paths[index % len(self.paths)]) as file:
            picture = file.convert("RGB")
        left, top = (random.randint(0, size - self.crop) for size in picture.size)
        hr = picture.crop((left, top, left + self.crop, top + self.crop))
        if random.random() < 0.5:
            hr = hr.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        hr = hr.rotate(90 * random.randrange(4))
        lr = hr.resize([self.crop // self.scale] * 2, Image.Resampling.BICUBIC)
        return tuple(torch.from_numpy(np.array(x)).permute(2, 0, 1).float() / 255 for x in (lr, hr))


def loader(paths, scale, crop, batch, length, workers):
    return DataLoader(Crops(paths, scale, crop, length), batch, shuffle=True, num_workers=workers, drop_last=True)


class PlainSRResNet:
    """Eager, float32, PyTorch's default memory order and default Adam."""

    def __init__(self, generator, lr=1e-4):
        self.generator = deepcopy(generator).to(memory_format=torch.contiguous_format)
        self.adam = torch.optim.Adam(self.generator.parameters(), lr)

    def step(self, lr, hr):
        sr = self.generator(lr.contiguous())
        loss = F.mse_loss(sr, hr.contiguous())
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return {"pixel": loss.detach()}


class PlainSRGAN(PlainSRResNet):
    """As many repositories have it: VGG not frozen, HR's features with gradients, D gathers some in G's step."""

    def __init__(self, generator, discriminator, weights, lr=1e-4, content=0.006, fooling=1e-3):
        super().__init__(generator, lr)
        self.discriminator = deepcopy(discriminator).to(memory_format=torch.contiguous_format)
        self.d_adam = torch.optim.Adam(self.discriminator.parameters(), lr)
        vgg = Perceptual("vgg19", "conv5_4", weights=weights).ready(next(generator.parameters()).device)
        self.vgg = deepcopy(vgg).requires_grad_(True)
        self.content, self.fooling = content, fooling

    def step(self, lr, hr):
        lr, hr = lr.contiguous(), hr.contiguous()
        bce = nn.functional.binary_cross_entropy_with_logits
        sr = self.generator(lr)
        perceptual = F.mse_loss(self.vgg(sr), self.vgg(hr))
        fake = self.discriminator(sr)
        adversarial = bce(fake, torch.ones_like(fake))
        self.adam.zero_grad()
        (self.content * perceptual + self.fooling * adversarial).backward()
        self.adam.step()

        real, fake = self.discriminator(hr), self.discriminator(sr.detach())
        loss = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
        self.d_adam.zero_grad()
        loss.backward()
        self.d_adam.step()
        return {
            "perceptual": perceptual.detach(), "adversarial": adversarial.detach(), "discriminator": loss.detach()
        }  # fmt: skip
