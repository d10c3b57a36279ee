"""The table of all networks, one row per scale: class, weights, costs and published scores.

A new network is one file in `networks/`, its rows in `MODELS` and its line in `PURPOSES`.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING

from srup.errors import UnknownModel

if TYPE_CHECKING:  # importing torch takes seconds: only building a network waits for it
    from srup.networks.base import Network

DEFAULT = "lite"
COUNTED_PIXELS = 1280 * 720  # of the output that multiply-adds are counted for
ONNX = ".onnx"  # what files of this kind end in
AUTO = "auto"  # instead of a name: the network that suits the picture, see `models.choosing`


@dataclass(frozen=True)
class Model:
    """A network with one set of weights, at one scale.

    `scale` 0 means any: the image is enlarged bicubically and the network restores it at its final
    size. `network` is "file:Class" under `srup.networks`, built with `options`. `file` is the name
    of the weights in the cache, `digest` is as in `weights.matches`; weights without `urls` are
    part of the package. `parameters` and `multi_adds` (in units of 1e9, for an output of 1280×720)
    are what `costs.cost` counts, `largest` what `costs.largest_map` counts: stored here, and
    compared in tests, so that listing networks does not import torch. Rows that were never
    `released` need the user's own checkpoint. `published` maps a benchmark set to PSNR and SSIM as
    printed in `paper`. Weights that were trained on from those of another network of the same
    shape, `origin`, may be mixed with them: `strength` is their own share, 0 to 1.
    """

    name: str
    scale: int
    network: str
    file: str
    digest: str
    parameters: int
    multi_adds: float
    largest: int
    licence: str
    paper: str
    urls: tuple[str, ...] = ()
    options: Mapping[str, float] = field(default_factory=dict)
    published: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    note: str = ""
    released: bool = True
    origin: str = ""
    strength: float = 1.0

    def work(self, scale: int) -> float:
        """Multiply-adds for each pixel of an input that is enlarged `scale` times."""
        return self.multi_adds * 1e9 * scale**2 / COUNTED_PIXELS

    @property
    def is_file(self) -> bool:
        """Whether the weights are a file of the user's, which `file` is the path of."""
        return PurePath(self.file).is_absolute()

    @property
    def of_others(self) -> bool:
        """Whether it is a network of others, which its file alone describes."""
        return not self.network

    @property
    def is_onnx(self) -> bool:
        """Whether it is a network of others in an ONNX file, which OpenVINO alone runs."""
        return self.of_others and PurePath(self.file).suffix.lower() == ONNX

    @property
    def known_as(self) -> str:
        """What `find` finds the row by: the path of a user's file, or else the name."""
        return self.file if self.is_file else self.name

    @property
    def most_bytes(self) -> int:
        """Bytes that the file of its weights has at most: no download goes beyond.

        The parameters as float32 take half of that; the rest is for what training tools add.
        """
        return 8 * self.parameters + (1 << 20)


def _github(repository: str, commit: str, path: str) -> tuple[str, ...]:
    return (f"https://raw.githubusercontent.com/{repository}/{commit}/{path}",)


def _imdn(path: str) -> tuple[str, ...]:
    return _github(
        "Zheng222/IMDN", "8f158e6a5ac9db6e5857d9159fd4a6c4214da574", f"checkpoints/{path}"
    )


def _lesrcnn(path: str) -> tuple[str, ...]:
    return _github("hellloxiaotian/LESRCNN", "e3729ed3884cbaa67c1534a1ac9626c71d670d27", path)


def _rdsrn(path: str) -> tuple[str, ...]:
    return _github(
        "HEEJOWOO/RDSRN-2022.01.ICCE", "924a90e2175cc4890c872ecbc045dcdf46be6d0c", f"weights/{path}"
    )


def _edsr(path: str) -> tuple[str, ...]:
    return (f"https://cv.snu.ac.kr/research/EDSR/models/{path}",)


def _dropbox(path: str) -> tuple[str, ...]:
    return (f"https://www.dropbox.com/s/{path}?dl=1",)


# in the order in which papers print them
SETS = ("Set5", "Set14", "BSD100", "Urban100")


def _scores(*figures: float) -> dict[str, tuple[float, float | None]]:
    """Alternately PSNR and SSIM, for each of the benchmark sets."""
    return dict(zip(SETS, zip(figures[::2], figures[1::2], strict=True), strict=False))


LITE = "srup's own, after MDSR: Lim et al., CVPRW 2017, https://arxiv.org/abs/1707.02921"
KEYS = "Keys, IEEE TASSP 1981, https://doi.org/10.1109/TASSP.1981.1163711"
IMDN = "Hui et al., ACM MM 2019, https://arxiv.org/abs/1909.11856"
NTIRE = (
    "team 39 of the NTIRE 2022 challenge on efficient super-resolution, "
    "https://arxiv.org/abs/2205.05675"
)
KAIR = "Zhang et al., KAIR, https://github.com/cszn/KAIR, after IMDN"
LESRCNN = "Tian et al., Knowledge-Based Systems 2020, https://arxiv.org/abs/2007.04344"
EDSR = "Lim et al., CVPRW 2017, https://arxiv.org/abs/1707.02921"
RDN = "Zhang et al., CVPR 2018, https://arxiv.org/abs/1802.08797"
RFDN = "Liu et al., AIM 2020, https://arxiv.org/abs/2009.11551"
RDCAB = "RDCAB-RecursiveSRNet, Woo et al., IPIU 2021, https://github.com/HEEJOWOO"
RDSRN = "Woo et al., ICCE 2022, https://github.com/HEEJOWOO"


BICUBIC = {  # scale → what papers print for bicubic interpolation, computed from Y alone
    2: _scores(33.66, 0.9299, 30.24, 0.8688, 29.56, 0.8431, 26.88, 0.8403),
    3: _scores(30.39, 0.8682, 27.55, 0.7742, 27.21, 0.7385, 24.46, 0.7349),
    4: _scores(28.42, 0.8104, 26.00, 0.7027, 25.96, 0.6675, 23.14, 0.6577),
}


def _psnr(*figures: float) -> dict[str, tuple[float, float | None]]:
    """PSNR for the first of the benchmark sets, where no SSIM was published."""
    return {name: (figure, None) for name, figure in zip(SETS, figures, strict=False)}


UNKNOWN = "none stated"
NEVER = "its weights were never released"
LITE_DIGEST = "sha256:50d56e517c71f8b8573186a45cdb8c4d40d719a90dae7b359be5fd477a8fbc90"
PHOTO_DIGEST = "sha256:fda51a8011eccf4fbc4605892006ec5e757c0ef64d3a0d2d27b47f43c1195c56"
BICUBIC_DIGEST = "sha256:6363367ab515397dbfd3d0a515567564d81e7005f2c017fc3767262504ace166"
FULL = {"channels": 256, "blocks": 32, "factor": 0.1}  # EDSR; without them, EDSR-baseline

# fmt: off
MODELS = (
    Model("lite", 2, "lite:Lite", "lite.pt", LITE_DIGEST, 291_111, 58.8, 48, "MIT", LITE,
          options={"scale": 2}),
    Model("lite", 3, "lite:Lite", "lite.pt", LITE_DIGEST, 291_111, 26.8, 48, "MIT", LITE,
          options={"scale": 3}),
    Model("lite", 4, "lite:Lite", "lite.pt", LITE_DIGEST, 291_111, 15.6, 48, "MIT", LITE,
          options={"scale": 4}),
    *(Model("lite-photo", scale, "lite:Lite", "lite-photo.pt", PHOTO_DIGEST, 291_111, multi_adds,
            48, "MIT", LITE, options={"scale": scale}, note="for compressed and noisy photographs",
            origin="lite")
      for scale, multi_adds in ((2, 58.8), (3, 26.8), (4, 15.6))),
    Model("bicubic", 0, "bicubic:Bicubic", "bicubic.pt", BICUBIC_DIGEST, 0, 0.0, 3, "MIT", KEYS),
    Model("imdn", 2, "imdn:IMDN", "imdn_x2.pth",
          "sha256:740b39653592bd3f49955a21cd9e16f2d37f2c413368cc09327601b8fbe42ce1",
          694_404, 159.6, 64, UNKNOWN, IMDN,
          _imdn("IMDN_x2.pth"), {"scale": 2},
          _scores(38.00, .9605, 33.63, .9177, 32.19, .8996, 32.17, .9283)),
    Model("imdn", 3, "imdn:IMDN", "imdn_x3.pth",
          "sha256:11b1716a19bc16e5e353e1db798d476169338e631eb170c82d765559888cb028",
          703_059, 71.9, 64, UNKNOWN, IMDN,
          _imdn("IMDN_x3.pth"), {"scale": 3},
          _scores(34.36, .9270, 30.32, .8417, 29.09, .8046, 28.17, .8519)),
    Model("imdn", 4, "imdn:IMDN", "imdn_x4.pth",
          "sha256:e660c38221147217a136debeb99eb304d62d9c0f73ac421ed66281b619719714",
          715_176, 41.1, 64, UNKNOWN, IMDN,
          _imdn("IMDN_x4.pth"), {"scale": 4},
          _scores(32.21, .8948, 28.58, .7811, 27.56, .7353, 26.04, .7838)),
    Model("imdn-as", 0, "imdn:IMDN_AS", "imdn_as.pth",
          "sha256:3cbddf7635581a5a1eab501b18081e7825dcdfd53a1a7670e1e571515eae76ff",
          752_104, 43.3, 16, UNKNOWN, IMDN,
          _imdn("IMDN_AS.pth"),
          note="for real photographs; scores below bicubic on images that were shrunk bicubically"),
    Model("imdn-rtc", 2, "imdn:IMDN_RTC", "imdn_rtc.pth",
          "sha256:5696ca25971477a93f2a3f3b235039e30afefff1bb560efdc48c0f880635a2ab",
          20_190, 4.6, 12, UNKNOWN, IMDN,
          _imdn("model_RTC.pth")),
    Model("imdn-rte", 2, "imdn:IMDN_RTE", "imdn_rte.pth",
          "sha256:4f5df6feb541d3904e1bceb9d7444bde3a8068d91c22941f4c83247663081c7d",
          89_748, 5.3, 20, UNKNOWN, IMDN,
          _imdn("model_RTE.pth"), note="trained on noisy images"),
    Model("imdn-plus", 4, "imdn:IMDN_Plus", "imdn_plus_x4.pth",
          "sha256:0051dcbeb82684fef3981eff81df86bb167b8f9602323fa37f82f8c5566ff5a9",
          275_844, 15.9, 48, "MIT", NTIRE,
          _github("ofsoundof/NTIRE2022_ESR",
                  "e95ba4a4916bb13d6348f7ee172827e2452e8a31", "model_zoo/team39_imdn_plus.pth"),
          published=_scores(32.11, .8934, 28.63, .7823, 27.58, .7358, 26.10, .7846)),
    Model("imdn-kair", 4, "imdn:IMDN_KAIR", "imdn_kair_x4.pth", "", 893_936, 51.5, 64, "MIT", KAIR,
          options={"scale": 4}, released=False,
          note="take imdn_x4.pth of KAIR's release v1.0, which srup does not download because no "
               "digest of it was published"),
    Model("lesrcnn", 2, "lesrcnn:LESRCNN", "lesrcnn_x2.pth",
          "sha256:66b4b2ddb268486f78a3d49758a016417e64f602ef963667b5ce34039200bcde",
          626_328, 247.4, 256, UNKNOWN, LESRCNN,
          _lesrcnn("x2/lesrcnn_x2.pth"), {"scale": 2},
          _scores(37.65, .9586, 33.32, .9148, 31.95, .8964, 31.45, .9206)),
    Model("lesrcnn", 3, "lesrcnn:LESRCNN", "lesrcnn_x3.pth",
          "sha256:95cbabcbd243e5582118d3bba44fd751a80dd19a291d5f3b1ebd7c9b3b61346a",
          810_968, 205.4, 576, UNKNOWN, LESRCNN,
          _lesrcnn("x3/lesrcnn_x3.pth"), {"scale": 3},
          _scores(33.93, .9231, 30.12, .8380, 28.91, .8005, 27.70, .8415)),
    Model("lesrcnn", 4, "lesrcnn:LESRCNN", "lesrcnn_x4.pth",
          "sha256:1de9d0e1b1817de43fba3ce9c4b966fd8cde81e160d7432a844d6a2296f90cbc",
          774_040, 198.9, 1024, UNKNOWN, LESRCNN,
          _lesrcnn("x4/lesrcnn_x4.pth"), {"scale": 4},
          _scores(31.88, .8903, 28.44, .7772, 27.45, .7313, 25.77, .7732)),
    Model("lesrcnn-m", 2, "lesrcnn:LESRCNN_M", "lesrcnn_m.pth", "",
          1_254_104, 247.4, 256, UNKNOWN, LESRCNN,
          options={"scale": 2}, released=False, note=NEVER),
    Model("lesrcnn-m", 3, "lesrcnn:LESRCNN_M", "lesrcnn_m.pth", "",
          1_254_104, 205.4, 576, UNKNOWN, LESRCNN,
          options={"scale": 3}, released=False, note=NEVER),
    Model("lesrcnn-m", 4, "lesrcnn:LESRCNN_M", "lesrcnn_m.pth", "",
          1_254_104, 198.9, 1024, UNKNOWN, LESRCNN,
          options={"scale": 4}, released=False, note=NEVER),
    Model("edsr-baseline", 2, "edsr:EDSR", "edsr_baseline_x2.pt",
          "sha256:1bc9523228fdc3b0a5ddb0d7062001e22b31bbb398ae09cfdefb97e8ee06e171",
          1_369_883, 316.7, 256, UNKNOWN, EDSR,
          _edsr("edsr_baseline_x2-1bc95232.pt"), {"scale": 2},
          _scores(37.99, .9604, 33.57, .9175, 32.16, .8994, 31.98, .9272)),
    Model("edsr-baseline", 3, "edsr:EDSR", "edsr_baseline_x3.pt",
          "sha256:abf2a44e7a137228efa42a4264a23e12603168d43ac7596b1adef40c649b9240",
          1_554_523, 160.6, 576, UNKNOWN, EDSR,
          _edsr("edsr_baseline_x3-abf2a44e.pt"), {"scale": 3},
          _scores(34.37, .9270, 30.28, .8417, 29.09, .8052, 28.15, .8527)),
    Model("edsr-baseline", 4, "edsr:EDSR", "edsr_baseline_x4.pt",
          "sha256:6b446fab734f4de74448d2fd1f3f990f5bae726e49dc7eff2ae9cefe444a1723",
          1_517_595, 114.3, 1024, UNKNOWN, EDSR,
          _edsr("edsr_baseline_x4-6b446fab.pt"), {"scale": 4},
          _scores(32.09, .8938, 28.58, .7813, 27.57, .7357, 26.04, .7849)),
    Model("edsr", 2, "edsr:EDSR", "edsr_x2.pt", "sha256:0edfb8a3",
          40_729_627, 9386.4, 1024, UNKNOWN, EDSR,
          _edsr("edsr_x2-0edfb8a3.pt"), {"scale": 2, **FULL},
          _scores(38.11, .9602, 33.92, .9195, 32.32, .9013, 32.93, .9351)),
    Model("edsr", 3, "edsr:EDSR", "edsr_x3.pt", "sha256:ea3ef2c6",
          43_680_027, 4480.7, 2304, UNKNOWN, EDSR,
          _edsr("edsr_x3-ea3ef2c6.pt"), {"scale": 3, **FULL},
          _scores(34.65, .9280, 30.52, .8462, 29.25, .8093, 28.80, .8653)),
    Model("edsr", 4, "edsr:EDSR", "edsr_x4.pt", "sha256:4f62e9ef",
          43_089_947, 2895.0, 4096, UNKNOWN, EDSR,
          _edsr("edsr_x4-4f62e9ef.pt"), {"scale": 4, **FULL},
          _scores(32.46, .8968, 28.80, .7876, 27.71, .7420, 26.64, .8033)),
    *(Model("mdsr-baseline", scale, "edsr:MDSR", "mdsr_baseline.pt",
            "sha256:a00cab12f80c2a7cf0a15c3b9fcae3cfe9273121e8942692303e5010d1dca5ef",
            3_227_227, multi_adds, largest, UNKNOWN,
            EDSR, _edsr("mdsr_baseline-a00cab12.pt"), {"scale": scale})
      for scale, multi_adds, largest in ((2, 410.6, 256), (3, 202.4, 576), (4, 137.8, 1024))),
    *(Model("mdsr", scale, "edsr:MDSR", "mdsr.pt", "sha256:4a78bedf",
            7_954_011, multi_adds, largest, UNKNOWN, EDSR,
            _edsr("mdsr-4a78bedf.pt"), {"scale": scale, "blocks": 80}, published)
      for scale, multi_adds, largest, published in (
          (2, 1497.8, 256, _scores(38.11, .9602, 33.85, .9198, 32.29, .9007, 32.84, .9347)),
          (3, 686.0, 576, _scores(34.66, .9280, 30.44, .8452, 29.25, .8091, 28.79, .8655)),
          (4, 409.6, 1024, _scores(32.50, .8973, 28.72, .7857, 27.72, .7418, 26.67, .8041)))),
    Model("rdcab", 4, "rdcab:RDCABNet", "rdcab_x4.pth", "", 2_111_783, 769.2, 1024, UNKNOWN, RDCAB,
          published=_psnr(32.29, 28.64, 27.62, 26.16), released=False, note=NEVER),
    Model("rdcab-split", 4, "rdcab:RDCABSplit", "rdcab_split_x4.pth",
          "git:b8913a6cbf46155b533203cba1a7a764c5394e63", 1_218_677, 568.8, 400, UNKNOWN, RDCAB,
          _github("HEEJOWOO/RDCAB-RecursivSRNet-Split-Version-",
                  "198dbaaa1b1d5e45aacc6a2da19136bda50cc125", "weights/x4.pth"),
          published=_psnr(32.24, 28.65, 27.62, 26.08)),
    Model("rdcab-fdirb", 4, "rdcab:RDCABFdirb", "rdcab_fdirb_x4.pth",
          "git:1ebbf358ed77ef3ed140e19ee64b6b202eba4a5b", 1_659_524, 715.4, 1024, UNKNOWN, RDCAB,
          _github("HEEJOWOO/RDCAB-RecursiveSRNet-FD-IR",
                  "8e9ee921b3a6da3a675b7f3a0963caacc1fbb516", "weights/x4.pth"),
          published=_psnr(32.28, 28.66, 27.64, 26.19)),
    Model("rfdn", 2, "rfdn:RFDN", "rfdn_x2.pth", "", 417_212, 91.6, 100, "MIT", RFDN,
          options={"scale": 2}, released=False, note=NEVER),
    Model("rfdn", 3, "rfdn:RFDN", "rfdn_x3.pth", "", 423_977, 41.4, 100, "MIT", RFDN,
          options={"scale": 3}, released=False, note=NEVER),
    Model("rfdn", 4, "rfdn:RFDN", "rfdn_aim_x4.pth",
          "sha256:11af8ec8ebd68689e90ef1e29044f9804c72d3bd9f7573820b7b26035782760c",
          433_448, 23.8, 100, "MIT", RFDN,
          _github("njulj/RFDN",
                  "7cf4e25b6633e81fd7e26891aeee2baca4f8f927", "trained_model/RFDN_AIM.pth"),
          {"scale": 4},
          note="the checkpoint of the AIM 2020 challenge"),
    Model("rdn", 2, "rdn:RDN", "rdn_x2.pth",
          "sha256:599ef5810044ad443198691ee430c7de835559e5f81b69fa87d5bb52f0fae1ed",
          22_123_395, 5096.6, 576, UNKNOWN, RDN,
          _dropbox("pd52pkmaik1ri0h/rdn_x2.pth"), {"scale": 2},
          _scores(38.24, .9614, 34.01, .9212, 32.34, .9017, 32.89, .9353)),
    Model("rdn", 3, "rdn:RDN", "rdn_x3.pth",
          "sha256:c771ae262f480874e39811419ff330b562db87d632a7875c3c62cdd71541c343",
          22_308_035, 2286.7, 576, UNKNOWN, RDN,
          _dropbox("56topxdwm6rakwd/rdn_x3.pth"), {"scale": 3},
          _scores(34.71, .9296, 30.57, .8468, 29.26, .8093, 28.80, .8653)),
    Model("rdn", 4, "rdn:RDN", "rdn_x4.pth",
          "sha256:6031ad7ee6777bccf7fb53a3da01ff3158040a0284c57bb935d27799cca9c63b",
          22_271_107, 1309.3, 1024, UNKNOWN, RDN,
          _dropbox("yphiyivb1v7jya2/rdn_x4.pth"), {"scale": 4},
          _scores(32.47, .8990, 28.81, .7871, 27.72, .7419, 26.61, .8028)),
    Model("rdsrn", 2, "rdsrn:RDSRN", "rdsrn_x2.pth",
          "sha256:865fca078bef97ed31e546f012c14938dd3b758474b7f5aaf2a42f006e15ae20",
          645_516, 431.7, 192, "MIT", RDSRN,
          _rdsrn("x2.pth"), {"scale": 2}, _psnr(38.08)),
    Model("rdsrn", 3, "rdsrn:RDSRN", "rdsrn_x3.pth",
          "sha256:372aed83b5984de7e4ad0a1370e76892cafd4f378e64c7901a9efa9c84838cbe",
          691_756, 216.1, 288, "MIT", RDSRN,
          _rdsrn("x3.pth"), {"scale": 3}, _psnr(34.42)),
    Model("rdsrn", 4, "rdsrn:RDSRN", "rdsrn_x4.pth",
          "sha256:beeada875cb696fe53f1384a6842c7e5aa9e3ea68de841d91395df017d503694",
          682_508, 142.5, 512, "MIT", RDSRN,
          _rdsrn("x4.pth"), {"scale": 4}, _psnr(32.34)),
)
# fmt: on


PURPOSES = {  # name → the pictures that a network is for, in a few words
    "lite": "clean pictures, quickly",
    "lite-photo": "JPEGs and noisy photographs",
    "bicubic": "comparison: interpolation, no network",
    "imdn": "clean pictures, more detail",
    "imdn-as": "real photographs, any scale",
    "imdn-rtc": "very small machines",
    "imdn-rte": "noisy pictures, small machines",
    "imdn-plus": "clean pictures, quicker than imdn",
    "imdn-kair": "clean pictures, own checkpoint",
    "lesrcnn": "clean pictures, research",
    "lesrcnn-m": "clean pictures, own checkpoint",
    "edsr-baseline": "clean pictures, research",
    "edsr": "clean pictures, most detail, GPU",
    "mdsr-baseline": "clean pictures, research",
    "mdsr": "clean pictures, research",
    "rdcab": "clean pictures, own checkpoint",
    "rdcab-split": "clean pictures, research",
    "rdcab-fdirb": "clean pictures, research",
    "rfdn": "clean pictures, quicker than imdn",
    "rdn": "clean pictures, most detail, GPU",
    "rdsrn": "clean pictures, fine detail",
}
# what other programs call a network, without signs → the one here that serves the same purpose
ELSEWHERE = {
    "realesrgan": "lite-photo",
    "realcugan": "lite-photo",
    "bsrgan": "lite-photo",
    "scunet": "lite-photo",
    "waifu2x": "lite-photo",
    "gigapixel": "lite-photo",
    "upscayl": "lite-photo",
    "ultrasharp": "lite-photo",
    "remacri": "lite-photo",
    "esrgan": "edsr",
    "srgan": "edsr",
    "srresnet": "edsr-baseline",
    "rcan": "edsr",
    "swinir": "rdn",
    "swin2sr": "rdn",
    "hat": "rdn",
    "carn": "imdn",
    "vdsr": "lesrcnn",
    "srcnn": "lesrcnn",
    "fsrcnn": "imdn-rtc",
    "espcn": "imdn-rtc",
    "ecbsr": "lite",
    "rlfn": "rfdn",
    "span": "imdn-plus",
    "lanczos": "bicubic",
    "bilinear": "bicubic",
    "cubic": "bicubic",
    "nearest": "bicubic",
}
WITH_SCALE = re.compile(r"(.+?)[-_]?x(\d)", re.IGNORECASE)  # imdn_x4, imdn-x4, IMDNx4


def names() -> list[str]:
    """The names of all networks, in the order of the table."""
    return list(dict.fromkeys(model.name for model in MODELS))


def named(text: str) -> tuple[str, int | None]:
    """The network that a text means, and the scale if the text ends in one: "IMDN_x4" is imdn ×4.

    The name of a checkpoint's file stays as it is. Raises UnknownModel, and what
    `community.rows` raises.
    """
    name = _canonical(text)
    if community().is_file(text):
        return text, None
    with_scale = WITH_SCALE.fullmatch(name)
    if name not in names() and with_scale and with_scale[1] in names():
        name, scale = with_scale[1], int(with_scale[2])
        if {0, scale} & find(name).keys():
            return name, scale
    find(text)
    return name, None


def find(name: str) -> dict[int, Model]:
    """The rows of a network by scale: one of the table, or a checkpoint of the user's.

    Raises UnknownModel, which suggests the nearest, and what `community.rows` raises.
    """
    rows = {model.scale: model for model in MODELS if model.name == _canonical(name)}
    rows = rows or community().rows(name)
    if not rows:
        raise UnknownModel(f"no network is called {name!r}: {_advice(name)}")
    return rows


def _canonical(text: str) -> str:
    return text.strip().lower().replace("_", "-")


def _advice(name: str) -> str:
    """What to take for a name that nothing has: what serves its purpose, or is spelled like it."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    for known, ours in ELSEWHERE.items():
        if letters.startswith(known):
            return f"nearest in purpose is {ours}, for {PURPOSES[ours]} (srup models lists all)"
    near = difflib.get_close_matches(_canonical(name), names(), n=2, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}? (srup models lists all)"
    return f"there are {', '.join(names())}"


def natural_scale(name: str) -> int:
    """How many times a network enlarges where nobody says: 4, or what a checkpoint's file can."""
    rows = find(name)
    if 0 in rows or 4 in rows or not next(iter(rows.values())).is_file:
        return 4
    return max(rows)


def community() -> ModuleType:
    """The checkpoints of users, which are described by rows as here."""
    return importlib.import_module("srup.models.community")


def build(model: Model) -> Network:
    """The network of a row, in evaluation mode.

    Its weights are random; those of a checkpoint that is none of srup's own are the file's.
    """
    if model.of_others:
        return community().network(Path(model.file))  # type: ignore[no-any-return]
    file, _, name = model.network.partition(":")
    module = importlib.import_module(f"srup.networks.{file}")
    network: Network = getattr(module, name)(**model.options)
    return network.eval()
