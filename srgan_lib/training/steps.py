"""Both training steps, as the paper's equations (Ledig et al. 2017, sec. 2.1 and 2.2), and the average of weights."""

import torch
from torch import nn


def srresnet_step(lr, hr, generator, content, update):
    """One step of stage 1: minimise the content loss alone (eq. 4). lr (N, 3, h, w), hr (N, 3, H, W) -> the losses."""
    sr = generator(lr)
    loss = content(sr, hr)
    update("generator", loss)
    return {"content": loss}


def srgan_step(lr, hr, generator, discriminator, content, adversarial, weight, update):
    """One step of stage 2: D, then G, on one forward pass of G (eq. 2 and 3). -> the losses and D's mean opinions."""
    sr = generator(lr)

    discriminator.requires_grad_(True)
    hr_logits, sr_logits = discriminator(hr), discriminator(sr.detach())
    discriminator_loss = adversarial.discriminator(hr_logits, sr_logits) + adversarial.penalty(discriminator, hr, sr)
    update("discriminator", discriminator_loss)

    discriminator.requires_grad_(False)  # G's gradient passes through D and leaves nothing there
    content_loss = content(sr, hr)
    adversarial_loss = adversarial.generator(discriminator(sr), hr_logits.detach())
    update("generator", content_loss + weight * adversarial_loss)
    return {"content": content_loss, "adversarial": adversarial_loss, "discriminator": discriminator_loss,
            "d_hr": hr_logits.sigmoid().mean(), "d_sr": sr_logits.sigmoid().mean()}


def freeze_statistics(network: nn.Module) -> None:
    """Batch norm with its running statistics from now on, in training too; scale and shift still learn."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * model, batch-norm statistics included."""
    pairs = [(a, m) for a, m in zip(average.state_dict().values(), model.state_dict().values()) if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in pairs], [m for _, m in pairs], 1 - decay)
