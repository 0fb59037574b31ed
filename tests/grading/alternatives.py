"""Right answers that look different: (exercise, what is different, the code). Each has to get full points."""

ALTERNATIVES = [
    ("luma", "einsum", "def luma(rgb):\n    return 16 + torch.einsum('nchw,c->nhw', rgb, rgb.new_tensor([65.481, 128.553, 24.966]))[:, None]\n"),
    ("luma", "1x1 convolution in double", '''
def luma(rgb):
    weight = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64).view(1, 3, 1, 1)
    return F.conv2d(rgb.double(), weight, torch.tensor([16.0], dtype=torch.float64))
'''),
    ("psnr", "loop over the batch, math", '''
import math

def psnr(first, second, peak=1.0):
    out = []
    for x, y in zip(first.double(), second.double()):
        error = F.mse_loss(x, y).item()
        out.append(20 * math.log10(peak) - 10 * math.log10(error) if error else math.inf)
    return torch.tensor(out)
'''),
    ("psnr", "a lambda", "psnr = lambda a, b, peak=1.0: 20 * torch.log10(peak / ((a - b) ** 2).mean(dim=(1, 2, 3)).sqrt())\n"),
    ("pixel_shuffle", "slices in two loops", '''
def pixel_shuffle(x, factor):
    n, k, h, w = x.shape
    out = x.new_zeros(n, k // factor ** 2, h * factor, w * factor)
    for i in range(factor):
        for j in range(factor):
            out[:, :, i::factor, j::factor] = x[:, i * factor + j::factor ** 2]
    return out
'''),
    ("pixel_shuffle", "einsum instead of permute", '''
def pixel_shuffle(x, factor):
    n, k, h, w = x.shape
    y = torch.einsum("ncijhw->nchiwj", x.unflatten(1, (-1, factor, factor)))
    return y.flatten(4).flatten(2, 3)
'''),
    ("ResidualBlock", "functional, without biases, one slope per channel", '''
class ResidualBlock(nn.Module):
    def __init__(self, n_feats=64):
        super().__init__()
        self.second_norm = nn.BatchNorm2d(n_feats)
        self.first_norm = nn.BatchNorm2d(n_feats)
        self.w2 = nn.Parameter(torch.randn(n_feats, n_feats, 3, 3) * 0.01)
        self.w1 = nn.Parameter(torch.randn(n_feats, n_feats, 3, 3) * 0.01)
        self.slope = nn.Parameter(torch.full((n_feats,), 0.25))
    def forward(self, x):
        y = F.prelu(self.first_norm(F.conv2d(x, self.w1, padding=1)), self.slope)
        return torch.add(self.second_norm(F.conv2d(y, self.w2, padding=1)), x)
'''),
    ("ResidualBlock", "a helper of its own, ModuleList", '''
def conv3(channels):
    return nn.Conv2d(channels, channels, kernel_size=(3, 3), padding="same", bias=False)

class ResidualBlock(nn.Module):
    def __init__(self, channels=64):
        super().__init__()
        self.layers = nn.ModuleList([conv3(channels), nn.BatchNorm2d(channels), nn.PReLU(), conv3(channels), nn.BatchNorm2d(channels)])
    def forward(self, x):
        y = x.clone()
        for layer in self.layers:
            y = layer(y)
        y += x
        return y
'''),
    ("Generator", "PReLU before the shuffle, written in another order", '''
class Generator(nn.Module):
    def __init__(self, block, channels=64, blocks=16, scale=4):
        super().__init__()
        self.tail = nn.Conv2d(channels, 3, 9, padding=4)
        self.up = nn.ModuleList()
        while scale > 1:
            self.up.append(nn.Sequential(nn.Conv2d(channels, channels * 4, 3, 1, 1), nn.PReLU(), nn.PixelShuffle(2)))
            scale //= 2
        self.trunk = nn.ModuleList(block(channels) for _ in range(blocks))
        self.mid, self.mid_norm = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.first, self.first_act = nn.Conv2d(3, channels, 9, padding=4), nn.PReLU()
    def forward(self, x):
        start = x = self.first_act(self.first(x))
        for block in self.trunk:
            x = block(x)
        x = self.mid_norm(self.mid(x)) + start
        for up in self.up:
            x = up(x)
        return self.tail(x)
'''),
    ("Generator", "one slope per channel", '''
class Generator(nn.Module):
    def __init__(self, block, channels=64, blocks=16, scale=4):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU(channels))
        self.body = nn.Sequential(*(block(channels) for _ in range(blocks)), nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels))
        stages = {2: 1, 4: 2, 8: 3}[scale]
        self.up = nn.Sequential(*(nn.Sequential(nn.Conv2d(channels, channels * 4, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(channels)) for _ in range(stages)))
        self.tail = nn.Conv2d(channels, 3, 9, padding=4)
    def forward(self, lr):
        x = self.head(lr)
        return self.tail(self.up(x + self.body(x)))
'''),
    ("Discriminator", "dense layers as convolutions", '''
class Discriminator(nn.Module):
    def __init__(self, hr_size=96, channels=64):
        super().__init__()
        c = channels
        plan = [(3, c, 1), (c, c, 2), (c, 2 * c, 1), (2 * c, 2 * c, 2), (2 * c, 4 * c, 1), (4 * c, 4 * c, 2), (4 * c, 8 * c, 1), (8 * c, 8 * c, 2)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, s, 1, bias=(k == 0)) for k, (i, o, s) in enumerate(plan))
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _ in plan[1:])
        self.dense1, self.dense2 = nn.Conv2d(8 * c, 1024, hr_size // 16), nn.Conv2d(1024, 1, 1)
    def forward(self, x):
        x = F.leaky_relu(self.convs[0](x), 0.2)
        for conv, norm in zip(self.convs[1:], self.norms):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        return self.dense2(F.leaky_relu(self.dense1(x), 0.2)).flatten(1)
'''),
    ("content_loss", "one batch for both, torchvision's transform", '''
from torchvision.transforms.functional import normalize

def content_loss(extractor, sr, hr, scale=1 / 12.75):
    features = extractor(normalize(torch.cat([sr, hr]), MEAN, STD))
    a, b = features.chunk(2)
    return scale ** 2 * torch.mean((a - b) ** 2)
'''),
    ("discriminator_loss", "the loss with logits", '''
def discriminator_loss(real_logits, fake_logits):
    criterion = nn.BCEWithLogitsLoss()
    return criterion(real_logits, torch.ones_like(real_logits)) + criterion(fake_logits, torch.zeros_like(fake_logits))
'''),
    ("discriminator_loss", "logsigmoid in double", "def discriminator_loss(r, f):\n    return (-F.logsigmoid(r.double())).mean() - F.logsigmoid(-f.double()).mean()\n"),
    ("generator_loss", "logaddexp", "def generator_loss(z):\n    return torch.logaddexp(torch.zeros_like(z), -z).sum() / z.numel()\n"),
    ("discriminator_step", "no_grad, one batch for both, requires_grad toggled", '''
def discriminator_step(gan, lr, hr, loss):
    with torch.no_grad():
        fake = gan.generator(lr)
    logits = gan.discriminator(torch.cat([hr, fake]))
    total = loss(logits[:len(hr)], logits[len(hr):])
    gan.discriminator.zero_grad()
    total.backward()
    gan.discriminator_optimizer.step()
    return total.detach()
'''),
    ("generator_step", "discriminator frozen meanwhile, two backward calls", '''
def generator_step(gan, lr, hr, content, adversarial, weight=1e-3):
    gan.generator_optimizer.zero_grad(set_to_none=True)
    gan.discriminator.requires_grad_(False)
    sr = gan.generator(lr)
    first, second = content(sr, hr), adversarial(gan.discriminator(sr)) * weight
    first.backward(retain_graph=True)
    second.backward()
    gan.generator_optimizer.step()
    gan.discriminator.requires_grad_(True)
    return float(first) + float(second)
'''),
    ("score", "numpy, round half to even, try and finally", '''
import numpy as np

@torch.inference_mode()
def score(generator, lr, hr, scale):
    was = generator.training
    try:
        sr = generator.eval()(lr)
    finally:
        generator.train(was)
    def grey(x):
        levels = (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        y = np.round(16 + levels.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255)
        return y[scale:y.shape[0] - scale, scale:y.shape[1] - scale]
    return 20 * np.log10(255 / np.sqrt(np.mean((grey(sr) - grey(hr)) ** 2)))
'''),
    ("upscale_tiled", "rows first, then columns joined with cat", '''
def upscale_tiled(generator, lr, tile, halo, scale):
    def spans(size):
        for start in range(0, size, tile):
            low = max(0, start - halo)
            stop = min(size, start + tile)
            yield low, min(size, stop + halo), (start - low) * scale, (stop - low) * scale
    with torch.no_grad():
        rows = [torch.cat([generator(lr[..., a:b, c:d])[..., e:f, g:h] for c, d, g, h in spans(lr.shape[-1])], dim=-1)
                for a, b, e, f in spans(lr.shape[-2])]
    return torch.cat(rows, dim=-2)
'''),
    ("gradient_penalty", "lerp, explicit norm, grad_outputs", '''
def gradient_penalty(discriminator, real, fake, epsilon, weight=10.0):
    x = torch.lerp(fake, real, epsilon).requires_grad_(True)
    logits = discriminator(x)
    g = torch.autograd.grad(outputs=logits, inputs=x, grad_outputs=torch.ones_like(logits), create_graph=True, retain_graph=True)[0]
    lengths = torch.sqrt((g ** 2).sum(dim=(1, 2, 3)))
    return torch.mean((lengths - 1) ** 2) * weight
'''),
]
