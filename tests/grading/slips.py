"""Answers tried after `mistakes` and `further`: wrong ones whose mistake had no name, or a mark by luck, and right ones in yet other styles.

Wrong: (exercise, what is wrong, a word that the hint must contain, the code). Right: (exercise, how, the code).
"""

from further import discriminator as pooled
from further import generator as resized
from further import layered
from mistakes import BLOCK, CONTENT, discriminator, generator

STEP = '''
def discriminator_step(gan, lr, hr, loss):
    fake = gan.generator(lr).detach()
    value = loss(gan.discriminator(hr), gan.discriminator(fake))
    gan.discriminator_optimizer.zero_grad()
    value.backward()
    {before}gan.discriminator_optimizer.step()
    {after}
    return {out}
'''
MAKER = '''
def generator_step(gan, lr, hr, content, adversarial, weight=1e-3):
    gan.generator_optimizer.zero_grad()
    sr = gan.generator(lr)
    value = content(sr, hr) + weight * adversarial(gan.discriminator(sr))
    value.backward()
    {}
    gan.generator_optimizer.step()
    return value.item()
'''
TILED = '''
def upscale_tiled(generator, lr, tile, halo, scale):
    height, width = lr.shape[-2:]
    sr = torch.zeros(1, 3, height * scale, width * scale)
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            top, left, bottom, right = max(y - halo, 0), max(x - halo, 0), min(y + tile, height), min(x + tile, width)
            part = generator(lr[:, :, top:bottom + halo, left:right + halo])
            part = part[:, :, (y - top) * scale:(bottom - top) * scale, (x - left) * scale:(right - left) * scale]
            sr[:, :, y:y + part.shape[2], x:x + part.shape[3]] = part
    return sr
'''


def step(before: str = "", after: str = "pass", out: str = "value.item()") -> str:
    return STEP.format(before=before, after=after, out=out)


def psnr(body: str) -> str:
    return f"def psnr(a, b, peak=1.0):\n    {body}\n"


BRANCH = "self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))"
LEAKY = "F.leaky_relu(self.head(self.features({})), 0.2)"
MISTAKES = [
    ("luma", "offset added twice", "twice", "def luma(rgb):\n    return 32 + 65.481 * rgb[:, 0:1] + 128.553 * rgb[:, 1:2] + 24.966 * rgb[:, 2:3]"),
    ("luma", "rounded weights", "weights are rounded", "def luma(rgb):\n    return 16 + 255 * (0.257 * rgb[:, 0:1] + 0.504 * rgb[:, 1:2] + 0.098 * rgb[:, 2:3])"),
    ("luma", "Cb", "colour difference", "def luma(rgb):\n    return 128 - 37.797 * rgb[:, 0:1] - 74.203 * rgb[:, 1:2] + 112 * rgb[:, 2:3]"),
    ("psnr", "clamped first", "clamped", psnr("return 10 * torch.log10(peak**2 / (a.clamp(0, 1) - b.clamp(0, 1)).square().flatten(1).mean(1))")),
    ("ResidualBlock", "a 1x1 convolution", "is not 3x3", BLOCK.format(f"return x + {BRANCH}").replace("channels, 3, padding=1)", "channels, 1)", 1)),
    ("ResidualBlock", "the branch added to itself", "twice the branch", BLOCK.format(f"return {BRANCH} + {BRANCH}")),
    ("ResidualBlock", "dilated", "dilat", BLOCK.format(f"return x + {BRANCH}").replace("padding=1", "padding=2, dilation=2")),
    ("ResidualBlock", "no return in forward", "return", BLOCK.format(f"x + {BRANCH}")),
    ("ResidualBlock", "two values returned", "more than one", BLOCK.format(f"return x, {BRANCH}")),
    ("Generator", "one block too few", "does not follow from `blocks`", generator(blocks="*[block(channels) for _ in range(blocks - 1)]")),
    ("Generator", "skip behind the first block", "behind the first block", generator(setup="self.first = block(channels)", blocks="*[block(channels) for _ in range(blocks - 1)]",
                                                                                      out="(lambda y: self.tail(y + self.body(y)))(self.first(x))")),
    ("Generator", "enlarged input added", "enlarged input", generator(out="self.tail(x + self.body(x)) + F.interpolate(lr, scale_factor=self.tail(x).shape[-1] // lr.shape[-1], mode='bilinear')")),
    ("Generator", "norm behind the first convolution", "behind the first convolution", generator(first="nn.Conv2d(3, channels, 9, padding=4), nn.BatchNorm2d(channels)")),
    ("Discriminator", "activation on the logit", "last dense layer", discriminator(out=LEAKY.format("picture"))),
    ("Discriminator", "last norm forgotten", "of one convolution", discriminator(normed="0 < number < 7")),
    ("content_loss", "norm of the difference", "length (norm)", CONTENT.format("return (scale * (extractor((sr - mean) / std) - extractor((hr - mean) / std))).flatten(1).norm(dim=1).mean()")),
    ("content_loss", "smooth L1", "Huber", CONTENT.format("return F.smooth_l1_loss(*(scale * extractor((x - mean) / std) for x in (sr, hr)))")),
    ("discriminator_loss", "not averaged", "not averaged", "def discriminator_loss(real_logits, fake_logits):\n    return F.softplus(-real_logits) + F.softplus(fake_logits)"),
    ("discriminator_loss", "labels of another shape", "shape of the logits", "def discriminator_loss(real_logits, fake_logits):\n    f = F.binary_cross_entropy_with_logits\n"
     "    return f(real_logits, torch.ones(len(real_logits))) + f(fake_logits, torch.zeros(len(fake_logits)))"),
    ("discriminator_step", "two steps", "steps 2 times", step(after="gan.discriminator_optimizer.step()")),
    ("discriminator_step", "loss after the step", "once more after the step", step(out="loss(gan.discriminator(hr), gan.discriminator(fake)).item()")),
    ("discriminator_step", "weights clipped", "Wasserstein", step(after="[p.data.clamp_(-0.01, 0.01) for p in gan.discriminator.parameters()]")),
    ("generator_step", "gradient clipped", "length", MAKER.format("torch.nn.utils.clip_grad_norm_(gan.generator.parameters(), 0.01)")),
    ("upscale_tiled", "pasted at lr's position", "position in lr", TILED),
    ("gradient_penalty", "gradient of the weights", "with respect to the discriminator's weights", "def gradient_penalty(discriminator, real, fake, epsilon, weight=10.0):\n"
     "    mixed = epsilon * real + (1 - epsilon) * fake\n    gradients = torch.autograd.grad(discriminator(mixed).sum(), list(discriminator.parameters()), create_graph=True)\n"
     "    return weight * (torch.cat([g.flatten() for g in gradients]).norm() - 1).square()"),
    ("ResizeGenerator", "norm behind the first convolution", "behind the first convolution", resized().replace("nn.Conv2d(3, channels, 9, padding=4)", "nn.Conv2d(3, channels, 9, padding=4), nn.BatchNorm2d(channels)", 1)),
    ("PooledDiscriminator", "activation on the logit", "last dense layer", pooled(out=LEAKY.format("image).amax((2, 3)"))),
    ("layered_loss", "a list of terms", "added up", layered(out="torch.stack([w * F.mse_loss(x, y) for w, x, y in zip(weights, a, b)])")),
    ("one_sided_penalty", "1 not subtracted", "not subtracted", "def one_sided_penalty(discriminator, real, fake, epsilon, weight=10.0):\n    mixed = (epsilon * real + (1 - epsilon) * fake).requires_grad_()\n"
     "    gradient, = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)\n    return weight * gradient.flatten(1).norm(dim=1).clamp(min=1).square().mean()"),
]
ALTERNATIVES = [
    ("psnr", "vmap over the pictures", """
@torch.no_grad()
def psnr(a, b, peak=1.0):
    one = lambda x, y: 20 * torch.log10(torch.as_tensor(peak)) - 10 * torch.log10(F.mse_loss(x, y))
    return torch.vmap(one)(a, b)
"""),
    ("pixel_shuffle", "gather by index", """
def pixel_shuffle(x, factor):
    n, c, h, w = x.shape
    ys, xs = torch.arange(h * factor), torch.arange(w * factor)
    rows = x[:, :, ys // factor][..., xs // factor].view(n, c // factor**2, factor**2, h * factor, w * factor)
    which = (ys % factor)[:, None] * factor + (xs % factor)[None]
    return rows.gather(2, which.expand(n, c // factor**2, 1, -1, -1)).squeeze(2)
"""),
    ("ResidualBlock", "a Sequential with padding='same'", """
class ResidualBlock(nn.Sequential):
    def __init__(self, channels=64):
        conv = lambda: nn.Conv2d(channels, channels, kernel_size=(3, 3), padding="same", bias=False)
        super().__init__(conv(), nn.BatchNorm2d(channels), nn.PReLU(channels), conv(), nn.BatchNorm2d(channels))
    def forward(self, x):
        return super().forward(x) + x
"""),
    ("generator_step", "both parts backward at once", """
def generator_step(gan, lr, hr, content, adversarial, weight=1e-3):
    gan.generator_optimizer.zero_grad()
    sr = gan.generator(lr)
    parts = torch.stack([content(sr, hr), adversarial(gan.discriminator(sr))])
    parts.backward(torch.tensor([1.0, weight]))
    gan.generator_optimizer.step()
    return float(parts[0]) + weight * float(parts[1])
"""),
    ("score", "a copy of the network", """
import copy
def score(generator, lr, hr, scale):
    net = copy.deepcopy(generator).eval().requires_grad_(False)
    with torch.inference_mode():
        sr = net(lr)
        y = [(luma((x.clamp(0, 1) * 255).round() / 255)).round()[..., scale:-scale, scale:-scale] for x in (sr, hr)]
        return float(psnr(y[0], y[1], 255.0)[0])
"""),
]
