"""Answers to exercises 15 to 21: wrong ones as in `mistakes`, and right ones in other styles as in `alternatives`."""

BLOCK = '''
class GroupBlock(nn.Module):
    def __init__(self, channels=64, groups=8):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1), {first}
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), {second}
        self.act = {act}
    def forward(self, x):
        return {out}
'''
GENERATOR = '''
class ResizeGenerator(nn.Module):
    def __init__(self, block, channels=64, blocks=16, scale=3):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*[{block} for _ in range(blocks)], nn.Conv2d(channels, channels, 3, padding=1){norm})
        self.tail = nn.Sequential({grow}, nn.Conv2d(channels, 3, 9, padding=4))
    def forward(self, lr):
        x = self.head(lr)
        return {out}
'''
DISCRIMINATOR = '''
class PooledDiscriminator(nn.Module):
    def __init__(self, channels=64):
        super().__init__()
        layers, before = [], 3
        for number, width in enumerate([1, 1, 2, 2, 4, 4, 8, 8]):
            layers.append(nn.Conv2d(before, width * channels, 3, stride=1 + number % 2, padding=1))
            if {normed}:
                layers.append(nn.BatchNorm2d(width * channels))
            layers.append(nn.LeakyReLU({slope}))
            before = width * channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear({inputs}, 1024), {between}, nn.Linear(1024, 1))
    def forward(self, image):
        return {out}
'''
LAYERED = '''
def layered_loss(extractor, sr, hr, weights):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    a, b = (extractor({normal}) for x in (sr, hr))
    return {out}
'''
PENALTY = '''
def one_sided_penalty(discriminator, real, fake, epsilon, weight=10.0):
    mixed = ({point}).requires_grad_()
    gradient, = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph={graph})
    norm = {norm}
    return {out}
'''


def luma(body: str) -> str:
    return f"def luma_jpeg(rgb):\n    r, g, b = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]\n    return {body}\n"


def block(**changes) -> str:
    parts = {"first": "nn.GroupNorm(groups, channels)", "second": "nn.GroupNorm(groups, channels)", "act": "nn.PReLU()",
             "out": "x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))"}
    return BLOCK.format(**{**parts, **changes})


def generator(**changes) -> str:
    parts = {"block": "block(channels)", "norm": ", nn.BatchNorm2d(channels)", "out": "self.tail(x + self.body(x))",
             "grow": "nn.Upsample(scale_factor=scale, mode='bilinear'), nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU()"}
    return GENERATOR.format(**{**parts, **changes})


def discriminator(**changes) -> str:
    parts = {"normed": "number > 0", "slope": "0.2", "inputs": "before", "between": "nn.LeakyReLU(0.2)", "out": "self.head(self.features(image).amax((2, 3)))"}
    return DISCRIMINATOR.format(**{**parts, **changes})


def layered(**changes) -> str:
    parts = {"normal": "(x - mean) / std", "out": "sum(w * F.mse_loss(x, y) for w, x, y in zip(weights, a, b))"}
    return LAYERED.format(**{**parts, **changes})


def smooth(real: str, fake: str = "torch.zeros_like(fake_logits)", out: str = "{0}(real_logits, real) + {0}(fake_logits, fake)") -> str:
    body = out.format("F.binary_cross_entropy_with_logits")
    return f"def smooth_discriminator_loss(real_logits, fake_logits, smoothing=0.1):\n    real, fake = {real}, {fake}\n    return {body}\n"


def penalty(**changes) -> str:
    parts = {"point": "epsilon * real + (1 - epsilon) * fake", "graph": "True", "norm": "gradient.flatten(1).norm(dim=1)",
             "out": "weight * torch.relu(norm - 1).square().mean()"}
    return PENALTY.format(**{**parts, **changes})


LABEL = "torch.full_like(real_logits, 1 - smoothing)"
# Wrong ones: (exercise, what is wrong, a word that the hint must contain, the code).
MISTAKES = [
    ("luma_jpeg", "the lesson's studio range", "studio range of exercise 1", luma("16 + 65.481 * r + 128.553 * g + 24.966 * b")),
    ("luma_jpeg", "offset kept", "offset 16", luma("16 + 255 * (0.299 * r + 0.587 * g + 0.114 * b)")),
    ("luma_jpeg", "from 0 to 1", "[0, 1]", luma("0.299 * r + 0.587 * g + 0.114 * b")),
    ("luma_jpeg", "BT.709", "BT.709", luma("255 * (0.2126 * r + 0.7152 * g + 0.0722 * b)")),
    ("luma_jpeg", "mean of the channels", "mean", luma("255 * rgb.mean(1, keepdim=True)")),
    ("luma_jpeg", "dimension lost", "dimension", luma("(255 * (0.299 * r + 0.587 * g + 0.114 * b))[:, 0]")),
    ("luma_jpeg", "BGR order", "BGR", luma("255 * (0.299 * b + 0.587 * g + 0.114 * r)")),
    ("luma_jpeg", "input scaled in place", "writes into its input", luma("rgb.mul_(255)[:, 0:1] * 0.299 + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:3]")),
    ("GroupBlock", "the lesson's batch norm", "is batch norm", block(first="nn.BatchNorm2d(channels)", second="nn.BatchNorm2d(channels)")),
    ("GroupBlock", "instance norm", "instance norm", block(first="nn.GroupNorm(channels, channels)", second="nn.GroupNorm(channels, channels)")),
    ("GroupBlock", "one group", "layer norm", block(first="nn.GroupNorm(1, channels)", second="nn.GroupNorm(1, channels)")),
    ("GroupBlock", "arguments swapped", "groups first", block(first="nn.GroupNorm(channels, groups)", second="nn.GroupNorm(channels, groups)")),
    ("GroupBlock", "channels a group", "channels // groups", block(first="nn.GroupNorm(channels // groups, channels)", second="nn.GroupNorm(channels // groups, channels)")),
    ("GroupBlock", "second norm left as batch norm", "still batch norm", block(second="nn.BatchNorm2d(channels)")),
    ("GroupBlock", "no skip", "skip", block(out="self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("GroupBlock", "ReLU for PReLU", "PReLU", block(act="nn.ReLU()")),
    ("GroupBlock", "activation after the sum", "after the sum", block(out="self.act(x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))")),
    ("GroupBlock", "groups written out", "written out as 2", block(first="nn.GroupNorm(2, channels)", second="nn.GroupNorm(2, channels)")),
    ("ResizeGenerator", "the lesson's pixel shuffle", "exercise 5's", generator(grow="nn.Conv2d(channels, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale), nn.PReLU()")),
    ("ResizeGenerator", "the lesson's nearest neighbour", "the lesson's", generator(grow="nn.Upsample(scale_factor=scale), nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU()")),
    ("ResizeGenerator", "aligned corners", "align_corners", generator(grow="nn.Upsample(scale_factor=scale, mode='bilinear', align_corners=True), nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU()")),
    ("ResizeGenerator", "convolution first", "comes before", generator(grow="nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU(), nn.Upsample(scale_factor=scale, mode='bilinear')")),
    ("ResizeGenerator", "no PReLU in the upsampler", "PReLU is missing", generator(grow="nn.Upsample(scale_factor=scale, mode='bilinear'), nn.Conv2d(channels, channels, 3, padding=1)")),
    ("ResizeGenerator", "transposed convolution", "transposed", generator(grow="nn.ConvTranspose2d(channels, channels, scale, stride=scale), nn.PReLU()")),
    ("ResizeGenerator", "no long skip", "skip", generator(out="self.tail(self.body(x))")),
    ("ResizeGenerator", "no norm at the end of the body", "batch norm", generator(norm="")),
    ("ResizeGenerator", "always three", "written out", generator(grow="nn.Upsample(scale_factor=3, mode='bilinear'), nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU()")),
    ("ResizeGenerator", "clamped", "clamp", generator(out="self.tail(x + self.body(x)).clamp(0, 1)")),
    ("PooledDiscriminator", "the lesson's flatten", "flattened", discriminator(inputs="before * 4", out="self.head(self.features(image).flatten(1))")),
    ("PooledDiscriminator", "the library's mean", "the library's", discriminator(out="self.head(self.features(image).mean((2, 3)))")),
    ("PooledDiscriminator", "sum for maximum", "the sum", discriminator(out="self.head(self.features(image).sum((2, 3)))")),
    ("PooledDiscriminator", "sigmoid", "sigmoid", discriminator(out="self.head(self.features(image).amax((2, 3))).sigmoid()")),
    ("PooledDiscriminator", "norm behind the first convolution", "first", discriminator(normed="True")),
    ("PooledDiscriminator", "LeakyReLU 0.01", "0.01", discriminator(slope="0.01", between="nn.LeakyReLU()")),
    ("PooledDiscriminator", "no activation between the dense layers", "between the dense", discriminator(between="nn.Identity()")),
    ("layered_loss", "the last layer only, as in the lesson", "only the last", layered(out="F.mse_loss(a[-1], b[-1])")),
    ("layered_loss", "weights forgotten", "not used", layered(out="sum(F.mse_loss(x, y) for x, y in zip(a, b))")),
    ("layered_loss", "mean over the layers", "averaged", layered(out="sum(w * F.mse_loss(x, y) for w, x, y in zip(weights, a, b)) / len(weights)")),
    ("layered_loss", "weights inside the square", "weight**2", layered(out="sum(F.mse_loss(w * x, w * y) for w, x, y in zip(weights, a, b))")),
    ("layered_loss", "not normalised", "normalised", layered(normal="x")),
    ("layered_loss", "absolute difference", "squared", layered(out="sum(w * F.l1_loss(x, y) for w, x, y in zip(weights, a, b))")),
    ("layered_loss", "distance of lists", "layer by layer", layered(out="F.mse_loss(a, b)")),
    ("layered_loss", "a Python number", "gradient", layered(out="sum(w * F.mse_loss(x, y).item() for w, x, y in zip(weights, a, b))")),
    ("layered_loss", "weights turned round", "wrong order", layered(out="sum(w * F.mse_loss(x, y) for w, x, y in zip(weights[::-1], a, b))")),
    ("smooth_discriminator_loss", "the lesson's labels", "not smoothed", smooth("torch.ones_like(real_logits)")),
    ("smooth_discriminator_loss", "both sides", "as well", smooth(LABEL, "torch.full_like(fake_logits, smoothing)")),
    ("smooth_discriminator_loss", "0.9 written out", "written out", smooth("torch.full_like(real_logits, 0.9)")),
    ("smooth_discriminator_loss", "smoothing itself", "`smoothing` itself", smooth("torch.full_like(real_logits, smoothing)")),
    ("smooth_discriminator_loss", "term multiplied", "second half", smooth("torch.ones_like(real_logits)", out="(1 - smoothing) * {0}(real_logits, real) + {0}(fake_logits, fake)")),
    ("smooth_discriminator_loss", "halved", "halved", smooth(LABEL, out="({0}(real_logits, real) + {0}(fake_logits, fake)) / 2")),
    ("smooth_discriminator_loss", "sigmoid, then the loss with logits", "twice", smooth(LABEL, out="{0}(real_logits.sigmoid(), real) + {0}(fake_logits.sigmoid(), fake)")),
    ("one_sided_penalty", "the lesson's two sides", "two-sided", penalty(out="weight * (norm - 1).square().mean()")),
    ("one_sided_penalty", "the wrong side", "those that are longer", penalty(out="weight * torch.relu(1 - norm).square().mean()")),
    ("one_sided_penalty", "not squared", "not squared", penalty(out="weight * torch.relu(norm - 1).mean()")),
    ("one_sided_penalty", "mean before the maximum", "before the maximum", penalty(out="weight * torch.relu(norm.mean() - 1).square()")),
    ("one_sided_penalty", "mean over the long ones only", "whole batch", penalty(out="weight * (norm[norm > 1] - 1).square().mean()")),
    ("one_sided_penalty", "without create_graph", "create_graph", penalty(graph="False")),
    ("one_sided_penalty", "weight forgotten", "missing", penalty(out="torch.relu(norm - 1).square().mean()")),
    ("one_sided_penalty", "one norm for the batch", "whole batch", penalty(norm="gradient.norm()")),
    ("one_sided_penalty", "at the real images", "at the real", penalty(point="real.clone()")),
]

# Right ones: (exercise, style, the code).
ALTERNATIVES = [
    ("luma_jpeg", "einsum", "def luma_jpeg(rgb):\n    return torch.einsum('nchw,c->nhw', rgb, torch.tensor([76.245, 149.685, 29.07])).unsqueeze(1)\n"),
    ("luma_jpeg", "a 1x1 convolution", "def luma_jpeg(rgb):\n    return 255 * F.conv2d(rgb, torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))\n"),
    ("GroupBlock", "no biases, one slope a channel", '''
class GroupBlock(nn.Module):
    def __init__(self, channels=64, groups=8):
        super().__init__()
        half = lambda: [nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.GroupNorm(num_groups=groups, num_channels=channels)]
        self.net = nn.Sequential(*half(), nn.PReLU(channels), *half())
    def forward(self, x):
        return self.net(x) + x
'''),
    ("ResizeGenerator", "interpolate in forward, functions in place of layers", '''
class ResizeGenerator(nn.Module):
    def __init__(self, block, channels=64, blocks=16, scale=3):
        super().__init__()
        self.scale = scale
        self.first, self.prelu1 = nn.Conv2d(3, channels, 9, 1, 4), nn.PReLU()
        self.blocks = nn.ModuleList(block(channels) for _ in range(blocks))
        self.close = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.smooth, self.prelu2, self.last = nn.Conv2d(channels, channels, 3, 1, 1), nn.PReLU(), nn.Conv2d(channels, 3, 9, 1, 4)
    def forward(self, lr):
        head = y = self.prelu1(self.first(lr))
        for step in self.blocks:
            y = step(y)
        y = F.interpolate(head + self.close(y), size=[self.scale * side for side in lr.shape[2:]], mode="bilinear", align_corners=False)
        return self.last(self.prelu2(self.smooth(y)))
'''),
    ("PooledDiscriminator", "adaptive pooling, dense layers as 1x1 convolutions", '''
class PooledDiscriminator(nn.Module):
    def __init__(self, channels=64):
        super().__init__()
        c, parts = channels, [nn.Conv2d(3, channels, 3, 1, 1), nn.LeakyReLU(0.2)]
        for a, b, stride in ((c, c, 2), (c, 2 * c, 1), (2 * c, 2 * c, 2), (2 * c, 4 * c, 1), (4 * c, 4 * c, 2), (4 * c, 8 * c, 1), (8 * c, 8 * c, 2)):
            parts += [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*parts, nn.AdaptiveMaxPool2d(1), nn.Conv2d(8 * c, 1024, 1), nn.LeakyReLU(0.2), nn.Conv2d(1024, 1, 1), nn.Flatten())
    def forward(self, image):
        return self.net(image)
'''),
    ("layered_loss", "one batch for both, a loop", '''
def layered_loss(extractor, sr, hr, weights):
    x = torch.cat([sr, hr])
    x = (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]
    total = torch.zeros(())
    for weight, features in zip(weights, extractor(x)):
        a, b = features.chunk(2)
        total = total + weight * torch.mean((a - b.detach()) ** 2)
    return total
'''),
    ("smooth_discriminator_loss", "softplus and a linear term", '''
def smooth_discriminator_loss(real_logits, fake_logits, smoothing=0.1):
    return (F.softplus(-real_logits) + smoothing * real_logits).mean() + F.softplus(fake_logits).mean()
'''),
    ("one_sided_penalty", "clamp, grad_outputs", '''
def one_sided_penalty(discriminator, real, fake, epsilon, weight=10.0):
    x = torch.lerp(fake, real, epsilon).requires_grad_(True)
    out = discriminator(x)
    g = torch.autograd.grad(out, x, torch.ones_like(out), create_graph=True)[0]
    excess = (g.square().sum(dim=(1, 2, 3)).sqrt() - 1).clamp(min=0)
    return weight * (excess ** 2).mean()
'''),
]
