"""Wrong answers that people really give: (exercise, what is wrong, a word that the hint must contain, the code).

Each replaces one definition of the solution notebook. Most were met in published implementations.
"""

BLOCK = '''
class ResidualBlock(nn.Module):
    def __init__(self, channels=64):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.act = nn.PReLU()
    def forward(self, x):
        {}
'''
GENERATOR = '''
class Generator(nn.Module):
    def __init__(self, block, channels=64, blocks=16, scale=4):
        super().__init__()
        {setup}
        self.head = nn.Sequential({first}, {act})
        self.body = nn.Sequential({blocks}, nn.Conv2d(channels, channels, 3, padding=1){norm})
        grow = []
        for _ in range({stages}):
            grow += [nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2), {act}]
        self.tail = nn.Sequential(*grow, nn.Conv2d(channels, 3, 9, padding=4))
    def forward(self, lr):
        x = self.head(lr)
        return {out}
'''


def generator(**changes) -> str:
    parts = {"setup": "pass", "first": "nn.Conv2d(3, channels, 9, padding=4)", "act": "nn.PReLU()", "norm": ", nn.BatchNorm2d(channels)",
             "blocks": "*[block(channels) for _ in range(blocks)]", "stages": "scale.bit_length() - 1", "out": "self.tail(x + self.body(x))"}
    return GENERATOR.format(**{**parts, **changes})


DISCRIMINATOR = '''
class Discriminator(nn.Module):
    def __init__(self, hr_size=96, channels=64):
        super().__init__()
        layers, before = [], 3
        for number, width in enumerate([1, 1, 2, 2, 4, 4, 8, 8]):
            layers.append(nn.Conv2d(before, width * channels, 3, stride={stride}, padding={padding}))
            if {normed}:
                layers.append(nn.BatchNorm2d(width * channels))
            layers.append(nn.LeakyReLU({slope}))
            before = width * channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(before * (hr_size // 16) ** 2, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1))
    def forward(self, picture):
        return {out}
'''


def discriminator(**changes) -> str:
    parts = {"stride": "1 + number % 2", "padding": "1", "normed": "number > 0", "slope": "0.2", "out": "self.head(self.features(picture))"}
    return DISCRIMINATOR.format(**{**parts, **changes})


CONTENT = '''
def content_loss(extractor, sr, hr, scale=1 / 12.75):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    {}
'''
SCORE = '''
def score(generator, lr, hr, scale):
    was = generator.training
    {mode}
    with torch.no_grad():
        sr = generator(lr)
    {back}
    def prepare(x):
        x = {bits}
        y = {grey}
        return {shaved}
    error = (prepare(sr) - prepare(hr)).square().mean()
    return float(10 * torch.log10({peak} / error))
'''


def score(**changes) -> str:
    parts = {"mode": "generator.eval()", "back": "generator.train(was)", "bits": "torch.floor(x.clamp(0, 1) * 255 + 0.5) / 255",
             "grey": "torch.floor(16 + 65.481 * x[:, 0:1] + 128.553 * x[:, 1:2] + 24.966 * x[:, 2:3] + 0.5)",
             "shaved": "y[..., scale:-scale, scale:-scale]", "peak": "255 ** 2"}
    return SCORE.format(**{**parts, **changes})


CRITIC = '''
def discriminator_step(gan, lr, hr, loss):
    {}
    return value.item()
'''
MAKER = '''
def generator_step(gan, lr, hr, content, adversarial, weight=1e-3):
    sr = gan.generator(lr)
    {}
    return value.item()
'''
CLEAR_AND_STEP = "gan.{0}_optimizer.zero_grad(); value.backward(); gan.{0}_optimizer.step()"
TILES = '''
def upscale_tiled(generator, lr, tile, halo, scale):
    height, width = lr.shape[-2:]
    {pad}
    sr = torch.zeros(1, 3, height * scale, width * scale)
    for y in range(0, {height}, tile):
        for x in range(0, {width}, tile):
            {cut}
            sr[:, :, y * scale:bottom * scale, x * scale:right * scale] = part
    return sr
'''
PENALTY = '''
def gradient_penalty(discriminator, real, fake, epsilon, weight=10.0):
    mixed = ({point}).detach().requires_grad_()
    gradient, = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph={graph})
    return weight * ({norm} - 1).square().mean()
'''


def penalty(point="epsilon * real + (1 - epsilon) * fake", graph="True", norm="gradient.flatten(1).norm(dim=1)") -> str:
    return PENALTY.format(point=point, graph=graph, norm=norm)


def luma(body: str) -> str:
    return f"def luma(rgb):\n    return {body}\n"


def psnr(body: str) -> str:
    return f"def psnr(a, b, peak=1.0):\n    mse = (a - b).square().flatten(1).mean(1)\n    return {body}\n"


def shuffle(body: str) -> str:
    return f"def pixel_shuffle(x, factor):\n    n, k, h, w = x.shape\n    c, r = k // factor**2, factor\n    return {body}\n"


def two(name: str, arguments: str, body: str) -> str:
    return f"def {name}({arguments}):\n    return {body}\n"


STEP_D = CLEAR_AND_STEP.format("discriminator")
STEP_G = CLEAR_AND_STEP.format("generator")
RIGHT_CUT = ("top, left, bottom, right = max(y - {h}, 0), max(x - {h}, 0), min(y + tile, height), min(x + tile, width); "
             "part = generator(lr[:, :, top:bottom + {h}, left:right + {h}])[:, :, (y - top) * scale:(bottom - top) * scale, (x - left) * scale:(right - left) * scale]")

MISTAKES = [
    ("luma", "mean of the channels", "mean", luma("rgb.mean(1, keepdim=True) * 255")),
    ("luma", "full-range weights", "full-range", luma("255 * (0.299 * rgb[:, 0:1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:3])")),
    ("luma", "BGR order", "BGR", luma("16 + 65.481 * rgb[:, 2:3] + 128.553 * rgb[:, 1:2] + 24.966 * rgb[:, 0:1]")),
    ("luma", "channel dimension lost", "dimension", luma("16 + 65.481 * rgb[:, 0] + 128.553 * rgb[:, 1] + 24.966 * rgb[:, 2]")),
    ("luma", "offset forgotten", "offset", luma("65.481 * rgb[:, 0:1] + 128.553 * rgb[:, 1:2] + 24.966 * rgb[:, 2:3]")),
    ("luma", "from 0 to 1", "[0, 1]", luma("(65.481 * rgb[:, 0:1] + 128.553 * rgb[:, 1:2] + 24.966 * rgb[:, 2:3]) / 255")),
    ("luma", "rounded too early", "rounded", luma("torch.round(16 + 65.481 * rgb[:, 0:1] + 128.553 * rgb[:, 1:2] + 24.966 * rgb[:, 2:3])")),
    ("luma", "no return", "return", "def luma(rgb):\n    y = 16 + 65.481 * rgb[:, 0:1] + 128.553 * rgb[:, 1:2] + 24.966 * rgb[:, 2:3]\n"),
    ("luma", "65.738 on [0, 1]", "65.481", luma("16 + 65.738 * rgb[:, 0:1] + 129.057 * rgb[:, 1:2] + 25.064 * rgb[:, 2:3]")),
    ("psnr", "data range 255 against 1", "255", psnr("10 * torch.log10(255**2 / mse)")),
    ("psnr", "20 log of the squared error", "20", psnr("-20 * torch.log10(mse / peak)")),
    ("psnr", "natural logarithm", "natural", psnr("10 * torch.log(peak**2 / mse)")),
    ("psnr", "module not imported", "import", psnr("10 * mathematics.log10(peak**2 / mse)")),
    ("psnr", "one number for the batch", "batch", psnr("10 * torch.log10(peak**2 / mse.mean())")),
    ("psnr", "peak from the picture", "peak", psnr("10 * torch.log10(b.amax()**2 / mse)")),
    ("psnr", "epsilon in the error", "constant", psnr("10 * torch.log10(peak**2 / (mse + 1e-10))")),
    ("pixel_shuffle", "NHWC channel order", "NHWC", shuffle("x.view(n, r, r, c, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c, h * r, w * r)")),
    ("pixel_shuffle", "rows and columns swapped", "swapped", shuffle("x.view(n, c, r, r, h, w).permute(0, 1, 4, 3, 5, 2).reshape(n, c, h * r, w * r)")),
    ("pixel_shuffle", "reshape without permute", "permute", shuffle("x.reshape(n, c, h * r, w * r)")),
    ("pixel_shuffle", "the library's own layer", "uses", shuffle("F.pixel_shuffle(x, r)")),
    ("ResidualBlock", "no skip", "skip", BLOCK.format("return self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("ResidualBlock", "activation after the sum", "after the sum", BLOCK.format("return self.act(x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))")),
    ("ResidualBlock", "skip added before the last norm", "before the second", BLOCK.format("return self.norm2(x + self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("ResidualBlock", "ReLU for PReLU", "PReLU", BLOCK.replace("nn.PReLU()", "nn.ReLU()").format("return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("ResidualBlock", "PReLU before norm", "order", BLOCK.format("return x + self.norm2(self.conv2(self.norm1(self.act(self.conv1(x)))))")),
    ("ResidualBlock", "wrong padding", "padding", BLOCK.replace(", padding=1", "").format("return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("ResidualBlock", "no super().__init__()", "super", BLOCK.replace("super().__init__()", "pass").format("return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("ResidualBlock", "64 written out", "channels", BLOCK.replace("Conv2d(channels, channels", "Conv2d(64, 64").format("return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("ResidualBlock", "one norm for both places", "share", BLOCK.replace("self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)",
     "self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)").format("return x + self.norm1(self.conv2(self.act(self.norm1(self.conv1(x)))))")),
    ("Generator", "no long skip", "skip", generator(out="self.tail(self.body(x))")),
    ("Generator", "3x3 in place of 9x9", "9x9", generator(first="nn.Conv2d(3, channels, 3, padding=1)")),
    ("Generator", "clamped output", "clamp", generator(out="self.tail(x + self.body(x)).clamp(0, 1)")),
    ("Generator", "tanh at the end", "tanh", generator(out="torch.tanh(self.tail(x + self.body(x)))")),
    ("Generator", "no norm at the end of the body", "batch norm", generator(norm="")),
    ("Generator", "one PReLU for all", "PReLU is shared", generator(setup="act = nn.PReLU()", act="act")),
    ("Generator", "one block used again and again", "shared", generator(blocks="*[block(channels)] * blocks")),
    ("Generator", "long skip from the picture", "number of channels", generator(out="self.tail(lr + self.body(x))")),
    ("Generator", "block not called", "call it", generator(blocks="*[block for _ in range(blocks)]")),
    ("Generator", "layers in a plain list", "ModuleList", generator(out="self.tail(x + self.body(x))").replace("nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())", "[nn.Conv2d(3, channels, 9, padding=4), nn.PReLU()]")),
    ("Generator", "activation at the end of the body", "end of the body", generator(norm=", nn.BatchNorm2d(channels), nn.PReLU()")),
    ("Generator", "scale // 2 doublings", "doublings", generator(stages="scale // 2")),
    ("Generator", "always scale 4", "scale", generator(stages="2")),
    ("Discriminator", "sigmoid at the end", "sigmoid", discriminator(out="torch.sigmoid(self.head(self.features(picture)))")),
    ("Discriminator", "stride on the wrong layer", "stride", discriminator(stride="2 - number % 2")),
    ("Discriminator", "norm behind the first convolution", "first", discriminator(normed="True")),
    ("Discriminator", "LeakyReLU 0.01", "0.01", discriminator(slope="0.01")),
    ("Discriminator", "wrong padding", "padding", discriminator(padding="0")),
    ("content_loss", "no normalisation", "normalised", CONTENT.format("return F.mse_loss(extractor(sr) * scale, extractor(hr) * scale)")),
    ("content_loss", "gradient blocked", "gradient", CONTENT.format(
        "with torch.no_grad(): a, b = (extractor((x - mean) / std) * scale for x in (sr, hr))\n    return F.mse_loss(a, b)")),
    ("content_loss", "wrapped in a new tensor", "gradient", CONTENT.format(
        "return torch.tensor([F.mse_loss(extractor((sr - mean) / std) * scale, extractor((hr - mean) / std) * scale)])")),
    ("content_loss", "loss scaled, not features", "scale**2", CONTENT.format("return scale * F.mse_loss(extractor((sr - mean) / std), extractor((hr - mean) / std))")),
    ("content_loss", "input in [-1, 1]", "[-1, 1]", CONTENT.format("return F.mse_loss(extractor(2 * sr - 1) * scale, extractor(2 * hr - 1) * scale)")),
    ("discriminator_loss", "labels swapped", "swapped", two("discriminator_loss", "real, fake", "F.softplus(real).mean() + F.softplus(-fake).mean()")),
    ("discriminator_loss", "sigmoid twice", "twice", two("discriminator_loss", "real, fake",
     "sum(F.binary_cross_entropy_with_logits(z.sigmoid(), torch.full_like(z, t)) for z, t in ((real, 1.0), (fake, 0.0)))")),
    ("discriminator_loss", "logits taken as probabilities", "probabilities", two("discriminator_loss", "real, fake",
     "F.binary_cross_entropy(real, torch.ones_like(real)) + F.binary_cross_entropy(fake, torch.zeros_like(fake))")),
    ("discriminator_loss", "log of sigmoid overflows", "infinite", two("discriminator_loss", "real, fake", "-real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()")),
    ("discriminator_loss", "linear in the sigmoid", "linear", two("discriminator_loss", "real, fake", "1 - real.sigmoid().mean() + fake.sigmoid().mean()")),
    ("generator_loss", "saturating form", "saturating", two("generator_loss", "fake", "-F.softplus(fake).mean()")),
    ("generator_loss", "labels swapped", "swapped", two("generator_loss", "fake", "F.softplus(fake).mean()")),
    ("generator_loss", "epsilon in the logarithm", "constant", two("generator_loss", "fake", "-torch.log(fake.sigmoid() + 1e-8).mean()")),
    ("discriminator_step", "missing detach", "detach", CRITIC.format("value = loss(gan.discriminator(hr), gan.discriminator(gan.generator(lr))); " + STEP_D)),
    ("discriminator_step", "generator updated as well", "moved", CRITIC.format(
        "value = loss(gan.discriminator(hr), gan.discriminator(gan.generator(lr))); " + STEP_D + "; gan.generator_optimizer.step()")),
    ("discriminator_step", "real and fake swapped", "swapped", CRITIC.format("value = loss(gan.discriminator(gan.generator(lr).detach()), gan.discriminator(hr)); " + STEP_D)),
    ("discriminator_step", "no zero_grad", "zero_grad", CRITIC.format(
        "value = loss(gan.discriminator(hr), gan.discriminator(gan.generator(lr).detach())); value.backward(); gan.discriminator_optimizer.step()")),
    ("discriminator_step", "a loss of its own", "argument `loss`", CRITIC.format("value = discriminator_loss(gan.discriminator(hr), gan.discriminator(gan.generator(lr).detach())); " + STEP_D)),
    ("discriminator_step", "no backward", "backward", CRITIC.format(
        "value = loss(gan.discriminator(hr), gan.discriminator(gan.generator(lr).detach())); gan.discriminator_optimizer.zero_grad(); gan.discriminator_optimizer.step()")),
    ("generator_step", "mean squared error written out", "argument `content`", MAKER.format("value = F.mse_loss(sr, hr) + weight * adversarial(gan.discriminator(sr)); " + STEP_G)),
    ("generator_step", "its own adversarial loss", "argument `adversarial`", MAKER.format("value = content(sr, hr) + weight * generator_loss(gan.discriminator(sr)); " + STEP_G)),
    ("generator_step", "sr and hr swapped", "swapped", MAKER.format("value = content(hr, sr) + weight * adversarial(gan.discriminator(sr)); " + STEP_G)),
    ("generator_step", "adversarial loss of the picture", "logits of sr", MAKER.format("value = content(sr, hr) + weight * adversarial(sr); " + STEP_G)),
    ("generator_step", "sigmoid before the loss", "takes logits", MAKER.format("value = content(sr, hr) + weight * adversarial(gan.discriminator(sr).sigmoid()); " + STEP_G)),
    ("generator_step", "generator under no_grad", "no_grad", MAKER.replace("sr = gan.generator(lr)", "with torch.no_grad(): sr = gan.generator(lr)").format(
        "value = content(sr, hr) + weight * adversarial(gan.discriminator(sr)); " + STEP_G)),
    ("generator_step", "discriminator left frozen", "frozen", MAKER.format(
        "gan.discriminator.requires_grad_(False); value = content(sr, hr) + weight * adversarial(gan.discriminator(sr)); " + STEP_G)),
    ("generator_step", "sr detached", "detached", MAKER.format("value = content(sr, hr) + weight * adversarial(gan.discriminator(sr.detach())); " + STEP_G)),
    ("generator_step", "weight forgotten", "weight", MAKER.format("value = content(sr, hr) + adversarial(gan.discriminator(sr)); " + STEP_G)),
    ("generator_step", "discriminator updated as well", "moved", MAKER.format(
        "value = content(sr, hr) + weight * adversarial(gan.discriminator(sr)); gan.discriminator_optimizer.zero_grad(); " + STEP_G + "; gan.discriminator_optimizer.step()")),
    ("generator_step", "wrong optimizer", "optimizer", MAKER.format("value = content(sr, hr) + weight * adversarial(gan.discriminator(sr)); " + STEP_D)),
    ("score", "RGB instead of luma", "RGB", score(grey="x * 255")),
    ("score", "no shave", "shave", score(shaved="y")),
    ("score", "float instead of 8 bit", "8 bit", score(bits="x", grey="16 + 65.481 * x[:, 0:1] + 128.553 * x[:, 1:2] + 24.966 * x[:, 2:3]")),
    ("score", "cut down instead of rounded", "rounded", score(bits="torch.floor(x.clamp(0, 1) * 255) / 255")),
    ("score", "data range 1", "255", score(peak="1")),
    ("score", "not clamped", "clamped", score(bits="torch.floor(x * 255 + 0.5) / 255")),
    ("score", "batch norm left in train mode", "train mode", score(mode="pass")),
    ("score", "only sr to 8 bit", "hr passes", score(bits="torch.floor(x.clamp(0, 1) * 255 + 0.5) / 255 if x is sr else x")),
    ("score", "luma of 0 to 255", "wants them in [0, 1]", score(bits="torch.floor(x.clamp(0, 1) * 255 + 0.5)")),
    ("score", "always handed back in train mode", "although it was evaluating", score(back="generator.train()")),
    ("score", "with gradients", "no_grad", score().replace("with torch.no_grad():", "if True:").replace("/ error))", "/ error).detach())")),
    ("score", "mode not restored", "eval mode", score(back="pass")),
    ("upscale_tiled", "tiles without overlap", "overlap", TILES.format(pad="pass", height="height", width="width", cut=RIGHT_CUT.format(h="0"))),
    ("upscale_tiled", "overlap one pixel short", "smaller than", TILES.format(pad="pass", height="height", width="width", cut=RIGHT_CUT.format(h="(halo - 1)"))),
    ("upscale_tiled", "negative index", "negative", TILES.format(pad="pass", height="height", width="width", cut=RIGHT_CUT.format(h="halo").replace("max(y - halo, 0), max(x - halo, 0)", "y - halo, x - halo"))),
    ("upscale_tiled", "halo cut off at the border too", "where there is none", TILES.format(pad="pass", height="height", width="width", cut=RIGHT_CUT.format(h="halo").replace(
        "(y - top) * scale:(bottom - top) * scale, (x - left) * scale:(right - left) * scale", "halo * scale:(bottom - y + halo) * scale, halo * scale:(right - x + halo) * scale"))),
    ("upscale_tiled", "halo cut off unscaled", "as wide", TILES.format(pad="pass", height="height", width="width", cut=RIGHT_CUT.format(h="halo").replace(
        "(y - top) * scale:(bottom - top) * scale, (x - left) * scale:(right - left) * scale", "y - top:y - top + (bottom - y) * scale, x - left:x - left + (right - x) * scale"))),
    ("upscale_tiled", "width and height swapped", "swapped", TILES.format(pad="pass", height="height", width="width", cut=RIGHT_CUT.format(h="halo")).replace("return sr", "return sr.transpose(2, 3)")),
    ("upscale_tiled", "left-over strip missing", "strip", TILES.format(pad="pass", height="height - tile + 1", width="width - tile + 1", cut=RIGHT_CUT.format(h="halo"))),
    ("upscale_tiled", "border padded with zeros", "padded", TILES.format(pad="padded = F.pad(lr, (halo,) * 4)", height="height", width="width", cut=(
        "bottom, right = min(y + tile, height), min(x + tile, width); part = generator(padded[:, :, y:bottom + 2 * halo, x:right + 2 * halo])"
        "[:, :, halo * scale:(halo + bottom - y) * scale, halo * scale:(halo + right - x) * scale]"))),
    ("upscale_tiled", "everything at once", "at once", "def upscale_tiled(generator, lr, tile, halo, scale):\n    return generator(lr)\n"),
    ("gradient_penalty", "at the real pictures", "real", penalty(point="real")),
    ("gradient_penalty", "epsilon on the wrong side", "swapped", penalty(point="epsilon * fake + (1 - epsilon) * real")),
    ("gradient_penalty", "without create_graph", "create_graph", penalty(graph="False")),
    ("gradient_penalty", "one norm for the batch", "batch", penalty(norm="gradient.norm()")),
    ("gradient_penalty", "squared norm", "root", penalty(norm="gradient.square().flatten(1).sum(1)")),
    ("gradient_penalty", "one-sided", "two-sided", penalty().replace("norm(dim=1) - 1)", "norm(dim=1) - 1).relu()")),
    ("gradient_penalty", "weight written out", "written out", penalty().replace("return weight", "return 10")),
    ("gradient_penalty", "backward in place of grad", "backward()", penalty().replace(
        "gradient, = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)", "discriminator(mixed).sum().backward(); gradient = mixed.grad")),
]
