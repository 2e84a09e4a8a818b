"""(tokens, prosody) -> mel: WhisperPro's second training target (paper app. B, eq. 15-23).

Letters: B batch, N text tokens, T mel frames, W Whisper width, d reconstructor width, V vocabulary.
"""

import math

import torch
from torch import Tensor, nn

from textpro.config import ReconstructorConfig


def sinusoids(length: int, width: int) -> Tensor:
    """Sinusoidal positions (length, width), sines then cosines."""
    rates = torch.exp(torch.arange(width // 2) * (-math.log(10_000.0) / (width // 2 - 1)))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class MelReconstructor(nn.Module):
    """Rebuilds the mel spectrogram from what was said and how, so that prosody has to hold the how."""

    token_positions: Tensor
    frame_positions: Tensor

    def __init__(
        self,
        config: ReconstructorConfig,
        *,
        vocabulary: int,
        prosody_width: int,
        n_mels: int,
        max_tokens: int = 448,
        max_frames: int = 3000,
    ) -> None:
        super().__init__()
        d, heads, dropout = config.width, config.n_heads, config.dropout
        self.embed = nn.Embedding(vocabulary, d)  # eq. 15
        self.project = nn.Linear(prosody_width, d)  # eq. 16
        self.fuse = nn.Sequential(nn.Linear(2 * d, d), nn.LayerNorm(d), nn.GELU(), nn.Dropout(dropout))  # eq. 17
        layer = {
            "dim_feedforward": 4 * d,
            "dropout": dropout,
            "activation": "gelu",
            "batch_first": True,
            "norm_first": True,
        }
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(d, heads, **layer),
            config.encoder_layers,
            nn.LayerNorm(d),
            enable_nested_tensor=False,
        )
        self.queries = nn.Parameter(torch.randn(max_frames, d) * 0.02)  # eq. 20
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(d, heads, **layer), config.decoder_layers, nn.LayerNorm(d)
        )
        self.head = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, n_mels))  # eq. 22
        self.register_buffer("token_positions", sinusoids(max_tokens, d), persistent=False)
        self.register_buffer("frame_positions", sinusoids(max_frames, d), persistent=False)

    def forward(self, tokens: Tensor, prosody: Tensor, token_mask: Tensor, n_frames: int) -> Tensor:
        """tokens: (B, N), prosody: (B, N, W), token_mask: (B, N) true where a token is -> mel (B, n_mels, n_frames)."""
        fused = self.fuse(torch.cat([self.embed(tokens), self.project(prosody)], dim=-1))  # eq. 17-18
        padding = ~token_mask
        memory = self.encoder(fused + self.token_positions[: fused.shape[1]], src_key_padding_mask=padding)  # eq. 19
        queries = self.queries[:n_frames] + self.frame_positions[:n_frames]
        frames = self.decoder(queries.expand(len(tokens), -1, -1), memory, memory_key_padding_mask=padding)  # eq. 21
        return self.head(frames).transpose(1, 2)  # eq. 22-23
