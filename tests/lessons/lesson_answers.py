"""Answers to the exercises of the lessons: right ones in several styles, and wrong ones with a word of what is said about them."""

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data
from torch import nn

from srgan_lib.images import crop_to_multiple, degrade, resize_bicubic, to_tensor
from srgan_lib.losses import BCE, Adversarial, adversarial_loss

WHY = ("This is an explanation of fifteen words or more in the words of a student, so that the model answer "
       "is shown and can be compared with it.")


# ---------------------------------------------------------------- 0


def images():
    """(srresnet, srgan, hr): in the right half the second one has a texture of its own."""
    hr = crop_to_multiple(to_tensor(data.chelsea()), 4)
    safe = resize_bicubic(degrade(hr, 4), 4)
    bold = safe + 0.05 * torch.randn(safe.shape, generator=torch.Generator().manual_seed(0))
    bold[..., :224] = safe[..., :224]
    return safe, bold, hr


BACK = {"bicubic": 42.3, "srresnet": 52.9, "srgan": 44.1}
ZERO = {
    "0.1": ([((4.56, 5.71), "shrunk", WHY), ([torch.tensor(4.5), np.float64(6.1)], "Photo", WHY)],
            [(((4.56, 4.56), "shrunk", WHY), "twice"), (((4.56, 0.0), "shrunk", WHY), "luma afterwards"), (((4.56, 25.0), "shrunk", WHY), "between"),
             (((4.56, 5.7), "the second", WHY), "one of")]),
    "0.2": ([(BACK, "srresnet", WHY), ({name: torch.tensor(value) for name, value in BACK.items()}, "SRResNet", WHY)],
            [(({"bicubic": 30.2, "srresnet": 31.0, "srgan": 29.5}, "srresnet", WHY), "HR"), ((BACK, "bicubic", WHY), "your own numbers"),
             (({"bicubic": 52.9, "srresnet": 42.3, "srgan": 44.1}, "srresnet", WHY), "order")]),
    "0.3": ([((30.85, 24.67), WHY), ([28.59, 22.39], WHY)],
            [(((24.67, 30.85), WHY), "wrong order"), (((28.0, 28.0), WHY), "equal"), (((30.0, 9.0), WHY), "between")]),
    "0.4": ([((100, 300, 32), WHY), ([20, 320, 24], WHY)],
            [(((100, 100, 32), WHY), "nothing was invented"), (((0, 300, 200), WHY), "no detail"), (((290, 300, 32), WHY), "leaves the image")]),
}


# ---------------------------------------------------------------- 1


def box_sum_of_rows(picture, scale):
    return np.floor(sum(picture[k::scale] for k in range(scale)) / scale + 0.5)


def box_torch(picture, scale):
    return F.avg_pool2d(torch.from_numpy(picture).permute(2, 0, 1), (scale, 1)).permute(1, 2, 0)


ONE = {
    "1.1": ([(box_sum_of_rows,), (box_torch,), (lambda p, s: p.reshape(-1, s, *p.shape[1:]).mean(1).round(),)],
            [((lambda p, s: p[::s],), "leaves the others out"), ((lambda p, s: np.floor(p.reshape(-1, s, *p.shape[1:]).mean(1)),), "fraction"),
             ((lambda p, s: p.reshape(-1, s, *p.shape[1:]).sum(1),), "sum of the rows"), ((lambda p, s: p.mean(1, keepdims=True),), "axis 1"),
             ((lambda p, s: np.roll(box_torch(p, s).numpy(), 1, 0),), "off by up to"), ((lambda p, s: box_torch(p, s).numpy()[:, :1],), "shape")]),
    "1.2": ([(28.706, 28.526, WHY), (np.float64(28.7), torch.tensor(28.53), WHY)],
            [((27.291, 27.117, WHY), "RGB"), ((44.65, 28.526, WHY), "two LR images"), ((28.526, 28.526, WHY), "LANCZOS"), ((28.526, 28.706, WHY), "wrong order")]),
    "1.3": ([({0: 0.084, 12: 0.009}, 1.1), ({0: 0.05, 12: 0.0}, 2.0)],
            [(({0: 8.4, 12: 0.9}, 1.1), "percent"), (({0: 0.009, 12: 0.084}, 1.1), "wrong order"), (({0: 0.084, 12: 0.084}, 1.0), "replace"),
             (({0: 0.084, 12: 0.009}, 0.01), "first call"), (({0: 0.18, 12: 0.02}, 1.1), "below 4")]),
    "1.4": ([(0.56, WHY), (torch.tensor(0.92), WHY)], [((1.01, WHY), "quality=30"), ((0.04, WHY), "share of all power"), ((2.3, WHY), "below 1")]),
}


# ---------------------------------------------------------------- 2


def convolutions(generator):
    return [layer for layer in generator.upsample if isinstance(layer, nn.Conv2d)]


def quieted(change, bias=True, last=False):
    def quiet(generator):
        for layer in convolutions(generator)[-1:] if last else convolutions(generator):
            layer.weight.data = change(layer.weight.data)
            if bias:
                layer.bias.data = layer.bias.data[::4].repeat_interleave(4)
        return generator
    return quiet


def quiet_in_place(generator):
    with torch.no_grad():
        for layer in convolutions(generator):
            for phase in (1, 2, 3):
                layer.weight[phase::4] = layer.weight[::4]
                layer.bias[phase::4] = layer.bias[::4]


TWO = {
    "2.1": ([(956_558, 30.02, 23.5), (torch.tensor(956_558), 31.09, 24)],
            [((774_731, 30.02, 23.5), "do not shrink"), ((592_904, 30.02, 23.5), "that go"), ((956_558, 1.876, 23.5), "one patch"),
             ((956_558, 15.0, 23.5), "count as two"), ((956_558, 30.02, 19.75), "as far as before"), ((956_558, 30.02, 31.5), "two convolutions"),
             ((958_606, 30.02, 23.5), "batch norms")]),
    "2.2": ([(quieted(lambda w: w[::4].repeat_interleave(4, 0)), WHY), (quiet_in_place, WHY), (quieted(lambda w: w[1::4].repeat_interleave(4, 0)), WHY)],
            [((quieted(lambda w: w[::4].repeat(4, 1, 1, 1)), WHY), "repeat puts"), ((quieted(lambda w: w[::4].repeat_interleave(4, 0), bias=False), WHY), "biases"),
             ((quieted(lambda w: w[:1].expand_as(w).clone()), WHY), "all kernels"), ((quieted(lambda w: w[::4].repeat_interleave(4, 0), last=True), WHY), "unchanged"),
             ((quieted(lambda w: w * 0.1), WHY), "still differ")]),
    "2.3": ([(4, [3, 6, 9], WHY), (torch.tensor(4.0), {9, 6, 3}, WHY), (4.0, (3, 6, 9, 12), WHY)],
            [((4, [3, 5, 7, 9], WHY), "odd"), ((4, [2, 4, 6, 8], WHY), "stride 2"), ((4, [3, 6], WHY), "one size more"), ((16, [3, 6, 9], WHY), "sum of the kernel"),
             ((9, [3, 6, 9], WHY), "3 x 3")]),
    "2.4": ([((576, 2304), 3.1, WHY), ([576, 2304], torch.tensor(5.9), WHY)],
            [((((576, 576)), 3.0, WHY), "not free"), (((2304, 576), 3.0, WHY), "wrong order"), (((5184, 6400), 3.0, WHY), "the tail"), (((576, 2304), 0.3, WHY), "plain over folded")]),
}


# ---------------------------------------------------------------- 3


def game(generator_loss, discriminator_loss=None):
    names = {"generator": lambda self, sr_logits, hr_logits=None: generator_loss(sr_logits)}
    if discriminator_loss:
        names["discriminator"] = discriminator_loss
    return type("Saturating", (BCE,), names)


class InView(Adversarial):
    """As the lesson builds it in view: a BCE that is not the library's."""

    def generator(self, sr_logits, hr_logits=None):
        return -F.softplus(sr_logits).mean()

    def discriminator(self, hr_logits, sr_logits):
        return F.softplus(-hr_logits).mean() + F.softplus(sr_logits).mean()


def step(loss_of):
    def clamped_step(lr, hr, generator, content, update):
        loss = loss_of(generator(lr), hr, content)
        update("generator", loss)
        return {"content": loss}
    return clamped_step


OPINIONS = {"saturating": (0.994, 0.001), "bce": (0.947, 0.055)}
STOP = ([2, 4, 6, 8, 10, 12, 14], [10, 12, 14, 16, 18, 20], [2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
THREE = {
    "3.1": ([([30.025, 30.043], [30.12, 30.142], True), ((29.9, 30.2), (30.0, 30.1), False)],
            [(([30.025, 30.043], [30.12, 30.142], False), "which of the two"), (([30.025], [30.12], True), "one seed"),
             (([0.0217, 0.0219], [0.0011, 0.0012], True), "losses"), (([30.0, 30.0], [30.1, 30.12], True), "seed=")]),
    "3.2": ([(InView, OPINIONS, WHY), (game(lambda z: -F.softplus(z).mean()), OPINIONS, WHY), (game(lambda z: F.logsigmoid(-z).mean()), OPINIONS, WHY),
             (game(lambda z: torch.log(1 - torch.sigmoid(z)).mean()), OPINIONS, WHY)],
            [((game(lambda z: F.softplus(z).mean()), OPINIONS, WHY), "sign"), ((game(lambda z: F.softplus(-z).mean()), OPINIONS, WHY), "paper's form"),
             ((game(lambda z: -F.softplus(-z).mean()), OPINIONS, WHY), "log D"), ((game(lambda z: -F.softplus(z)), OPINIONS, WHY), "mean"),
             ((game(lambda z: -F.softplus(z).mean(), lambda self, hr, sr: sr.mean()), OPINIONS, WHY), "discriminator's loss"),
             ((game(lambda z: -F.softplus(z).mean()), {"saturating": (0.1, 0.9), "bce": (0.2, 0.8)}, WHY), "first of the pair")]),
    "3.3": ([(step(lambda sr, hr, content: content(sr.clamp(0, 1), hr)), WHY), (step(lambda sr, hr, content: content(torch.clamp(sr, min=0, max=1), hr)), WHY),
             (step(lambda sr, hr, content: content(F.hardtanh(sr, 0, 1), hr)), WHY)],
            [((step(lambda sr, hr, content: content(sr, hr)), WHY), "raw image"), ((step(lambda sr, hr, content: content(sr.sigmoid(), hr)), WHY), "tanh or sigmoid"),
             ((step(lambda sr, hr, content: content(sr.detach().clamp(0, 1), hr)), WHY), "no gradient"),
             ((step(lambda sr, hr, content: content(sr + (sr.clamp(0, 1) - sr).detach(), hr)), WHY), "still get a gradient"),
             ((lambda lr, hr, generator, content, update: {"content": content(generator(lr).clamp(0, 1), hr)}, WHY), "update is never")]),
    "3.4": ([(*STOP, WHY), ([2, 4, 6, 8], [10, 12], [2, 4, 6, 8, 10, 12], WHY)],
            [((STOP[0], STOP[1], STOP[0] + STOP[1], WHY), "both calls printed"), ((STOP[0], [2, 4, 6, 8, 10, 12, 14, 16], STOP[2], WHY), "at the start again"),
             ((STOP[2], STOP[2], STOP[2], WHY), "stopped at all"), ((STOP[0], STOP[1], STOP[1], WHY), "missing")]),
}


# ---------------------------------------------------------------- 4


def recoloured(enlarge):
    return lambda sr, lr: sr + enlarge(lr - degrade(sr, 4))


def by_interpolation(difference):
    return F.interpolate(difference, scale_factor=4, mode="bicubic")


RGB = {"nearest": 26.66, "bilinear": 27.37, "bicubic": 27.78, "srresnet": 28.85, "srgan": 27.70}
LUMA = {"nearest": 28.44, "bilinear": 29.16, "bicubic": 29.58, "srresnet": 30.73, "srgan": 29.57}
NOISE = [(0.005, 29.54, 17.12), (0.01, 29.44, 13.09), (0.02, 29.05, 8.33), (0.03, 28.49, 5.34), (0.05, 27.10, 3.32)]
FOUR = {
    "4.1": ([(RGB, True, 1.15), (RGB, False, 1.15), ({name: np.float64(value) for name, value in RGB.items()}, 1, torch.tensor(1.15))],
            [((LUMA, True, 1.16), "luma"), ((RGB, "yes", 1.15), "same_order"), ((RGB, True, -1.15), "other sign"), (({**RGB, "bicubic": 27.43}, True, 1.15), "squared errors")]),
    "4.2": ([(recoloured(by_interpolation), WHY), (recoloured(lambda d: 2 * resize_bicubic((d + 1) / 2, 4) - 1), WHY),
             (recoloured(lambda d: resize_bicubic(d, 4) - resize_bicubic(-d, 4)), WHY), (lambda sr, lr: recoloured(by_interpolation)(sr, lr).clamp(0, 1), WHY)],
            [((recoloured(lambda d: resize_bicubic(d, 4)), WHY), "negative"), ((lambda sr, lr: sr - by_interpolation(lr - degrade(sr, 4)), WHY), "sign"),
             ((recoloured(lambda d: d.repeat_interleave(4, -1).repeat_interleave(4, -2)), WHY), "nearest"), ((lambda sr, lr: sr, WHY), "as it came"),
             ((lambda sr, lr: lr, WHY), "shape")]),
    "4.3": ([({"images": (30.25, 4.74), "weights": (27.04, 5.84)}, WHY), ({"images": [30.1, 4.6], "weights": [27.3, 6.0]}, WHY)],
            [(({"images": (27.04, 5.84), "weights": (30.25, 4.74)}, WHY), "wrong order"), (({"images": (4.74, 30.25), "weights": (5.84, 27.04)}, WHY), "in this order"),
             (({"images": (30.25, 4.74), "weights": (30.25, 4.74)}, WHY), "same PSNR")]),
    "4.4": ([(NOISE, False, WHY), ([list(row) for row in NOISE[::-1]], False, WHY)],
            [((NOISE, True, WHY), "no PSNR is above"), (([(s, p - 1.86, g) for s, p, g in NOISE], False, WHY), "RGB"),
             (([(s, p + 9, g) for s, p, g in NOISE], False, WHY), "added to HR"), (([(255 * s, p, g) for s, p, g in NOISE], False, WHY), "units"),
             ((NOISE[:2], False, WHY), "four strengths")]),
}


# ---------------------------------------------------------------- 5


def weights(bound, share=0.97):
    signs = torch.ones(1000)
    signs[::2] = -1
    signs[int(1000 * share):] *= 0.3
    return (bound * signs).view(1, -1)


GRID = {"srresnet-x4": 6.6e-6, "srgan-x4": 6.1e-5}
FIVE = {
    "5.1": ([({"without": 100.8, "with": 75.9}, WHY), ({"without": torch.tensor(23.3), "with": 17.1}, WHY), ({"without": 85.3, "with": 98.6}, WHY)],
            [(({"without": 23.3, "with": 130.0}, WHY), "right run"), (({"without": 0.39, "with": 0.3}, WHY), "255"), (({"without": 23.3, "with": 23.3}, WHY), "both are equal"),
             (({"without": 23.3, "with": -17.1}, WHY), "absolute")]),
    "5.2": ([(weights(0.01), WHY), (nn.Parameter(weights(0.01, 0.9)), WHY)],
            [((weights(0.4), WHY), "nothing has clipped"), ((weights(0.0195), WHY), "after optimizer.step"), ((weights(0.01, 0.2), WHY), "60 steps")]),
    "5.3": ([(GRID, "jitter", WHY), (GRID, "discriminator_head", WHY)],
            [((GRID, "pixel_weight", WHY), "does not remove"), ((GRID, "ema", WHY), "every four pixels"), (({"srresnet-x4": 1.0, "srgan-x4": 0.99}, "jitter", WHY), "untrained"),
             ((GRID, "grid_weight", WHY), "0 in this file")]),
    "5.4": ([([27.45, 27.87], [27.79, 27.81], False, WHY), ((27.45, 27.87), (28.4, 28.5), True, WHY)],
            [(([27.45, 27.87], [27.79, 27.81], True, WHY), "which of the two"), (([27.66], [27.8], False, WHY), "one seed"),
             (([27.45, 27.87], [27.45, 27.87], False, WHY), "numbers of bce"), (([0.26, 0.27], [0.24, 0.25], True, WHY), "no PSNRs")]),
}


# ---------------------------------------------------------------- 6


def pull_by_autograd(sr_grade, hr_grade):
    sr = torch.tensor([[sr_grade]], requires_grad=True)
    adversarial_loss("relativistic").generator(sr, torch.tensor([[hr_grade]])).backward()
    return sr.grad


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def averages(h, s):
    return adversarial_loss("relativistic").discriminator(h, s)


def paired_in_a_loop(h, s):
    losses = [F.softplus(-(a - b)) for a in h.flatten() for b in s.flatten()]
    return sum(losses) / len(losses)


ENDS = {-0.5: 19.1, 0: 33.5, 1: 31.9, 1.5: 28.3}
SIX = {
    "6.1": ([(151_235, WHY), (torch.tensor(151_235), WHY)],
            [((16_697_987, WHY), "still there"), ((16_546_752, WHY), "no longer matter"), ((114_307, WHY), "conv_body"), ((0, WHY), "before and behind")]),
    "6.2": ([(pull_by_autograd, WHY), (lambda s, h: -sigmoid(h - s), WHY)],
            [((lambda s, h: sigmoid(h - s), WHY), "sign"), ((lambda s, h: -sigmoid(h - s) / 2, WHY), "half"), ((lambda s, h: -sigmoid(-s), WHY), "ordinary"),
             ((lambda s, h: np.log1p(np.exp(h - s)), WHY), "not its gradient")]),
    "6.3": ([(lambda h, s: F.softplus(s.reshape(1, -1) - h.reshape(-1, 1)).mean(), WHY), (paired_in_a_loop, WHY),
             (lambda h, s: -torch.log(torch.sigmoid(h.flatten()[None] - s.flatten()[:, None])).mean(), WHY)],
            [((averages, WHY), "averages"), ((lambda h, s: F.softplus(h.reshape(-1, 1) - s.reshape(1, -1)).mean(), WHY), "generator's side"),
             ((lambda h, s: F.softplus(s.reshape(1, -1) - h.reshape(-1, 1)).sum(), WHY), "sum over"), ((lambda h, s: F.softplus(s.mean() - h.mean()), WHY), "mean difference"),
             ((lambda h, s: F.softplus(s.reshape(1, -1) - h.reshape(-1, 1)), WHY), "one number")]),
    "6.4": ([(ENDS, WHY), ([19.1, 33.5, 31.9, 28.3], WHY)],
            [(({-0.5: 33.5, 0: 33.5, 1: 31.9, 1.5: 31.9}, WHY), "limited"), (({-0.5: 33.0, 0: 33.5, 1: 31.9, 1.5: 30.3}, WHY), "straight line"),
             (({-0.5: 34.5, 0: 33.5, 1: 31.9, 1.5: 28.3}, WHY), "rises"), (({-0.5: 19.1, 0: 33.5, 1: 31.9}, WHY), "1.5 is missing")]),
    "6.5": ([({0: 33.5, 0.5: 16.2, 1: 33.5}, WHY), ([27.7, 20.3, 27.6], WHY)],
            [(({0: 33.5, 0.5: 33.6, 1: 31.9}, WHY), "images mixed"), (({0: 33.5, 0.5: 33.2, 1: 33.5}, WHY), "different random weights"), (({0: 33.5, 0.5: 12.0, 1: 17.0}, WHY), "3 dB apart")]),
}


# ---------------------------------------------------------------- 7


def along(x, length, border="replicate", axis=-1, weight=1.0):
    x = x if axis == -1 else x.mT
    reach = length // 2
    padded = F.pad(x, (reach, reach, 0, 0), mode=border) if border != "zeros" else F.pad(x, (reach, reach, 0, 0))
    moved = weight * F.avg_pool2d(padded, (1, length), stride=1)
    return moved if axis == -1 else moved.mT


def along_in_a_loop(hr, length):
    reach, wide = length // 2, F.pad(hr, (length // 2, length // 2, 0, 0), mode="replicate")
    return sum(wide[..., k:k + hr.shape[-1]] for k in range(2 * reach + 1)) / length


TRAINED = {"shaken": (25.1, 26.0), "sharp": (27.5, 26.1)}
FACES = {"before": 0, "bicubic": 78, "srresnet-x4": 81, "srgan-x4": 76}
SEEN = {"phone": ["blur", "noise"], "messenger": ["blur", "JPEG", "size"]}
SEVEN = {
    "7.1": ([(9, WHY), (np.int64(8), WHY)], [((40, WHY), "in theory"), ((16, WHY), "further down"), ((2, WHY), "more than half a grey level"), ((7, WHY), "half a grey level"), ((9.5, WHY), "whole number")]),
    "7.2": ([(FACES, WHY), (list(FACES.values()), WHY)],
            [(({"before": 0, "bicubic": 65, "srresnet-x4": 78, "srgan-x4": 60}, WHY), "8 pixels"), (({name: count / 100 for name, count in FACES.items()}, WHY), "shares"),
             (({**FACES, "bicubic": 178}, WHY), "faces only"), (({**FACES, "before": 78}, WHY), "window of 24")]),
    "7.3": ([(SEEN, WHY), ({"phone": "noise", "messenger": {"jpeg"}}, WHY)],
            [(({"phone": ["blur"], "messenger": []}, WHY), "no fault"), (({"phone": ["JPEG"], "messenger": ["noise"]}, WHY), "wrong order"),
             (({"phone": ["noise"], "messenger": ["noise"]}, WHY), "sent as a document"), (({"phone": ["grain"], "messenger": ["JPEG"]}, WHY), "none of"),
             (({"phone": ["size"], "messenger": ["JPEG"]}, WHY), "all of its pixels")]),
    "7.4": ([(along, TRAINED, WHY), (along_in_a_loop, TRAINED, WHY), (lambda x, n: along(x, n, "reflect"), TRAINED, WHY)],
            [((lambda x, n: along(x, n, weight=n), TRAINED, WHY), "add up to"), ((lambda x, n: along(x, n, axis=-2), TRAINED, WHY), "up and down"),
             ((lambda x, n: along(along(x, n), n, axis=-2), TRAINED, WHY), "square"), ((lambda x, n: along(x, n, "zeros"), TRAINED, WHY), "dark"),
             ((lambda x, n: along(x, n).roll(n // 2, -1), TRAINED, WHY), "centred"), ((along, {"shaken": (26.0, 25.1), "sharp": (27.5, 26.1)}, WHY), "did not help"),
             ((along, {"shaken": (27.5, 28.0), "sharp": (25.1, 25.0)}, WHY), "wrong order")]),
}
ANSWERS = ZERO | ONE | TWO | THREE | FOUR | FIVE | SIX | SEVEN
