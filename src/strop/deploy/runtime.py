"""Run an ONNX file. No torch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..errors import UserError
from .settings import About, read_about


class OnnxModel:
    """A session of ONNX Runtime on the CPU.

    Args:
        file: an exported file, which takes (B, H, W, 3) uint8 RGB of any H and W and gives probabilities, or a bare
            network, which takes (B, C, S, S) float32, normalised; or the bytes of one.
        threads: 1 for latencies that can be compared, 0 for all cores.
        profile: what the names of the runtime's profiles begin with; see `end_profile`.
    Raises:
        UserError: the runtime can't read the file, or a file that takes uint8 does not say what it does to them.
    """

    def __init__(self, file: Path | bytes, *, threads: int = 0, profile: Path | None = None):
        import onnxruntime

        where = "the model" if isinstance(file, bytes) else str(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        try:
            # A graph can point at other files. An empty folder to look in, and bytes instead of a path:
            # there is nothing that it can read.
            with tempfile.TemporaryDirectory() as empty:
                options.add_session_config_entry("session.model_external_initializers_file_folder_path", empty)
                raw = file if isinstance(file, bytes) else Path(file).read_bytes()
                self._session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no public base
            raise UserError(
                where, f"ONNX Runtime can't read it ({str(error).splitlines()[0][:120]}). Export it again."
            ) from error
        self.input = self._session.get_inputs()[0]
        self.dtype = np.uint8 if "uint8" in self.input.type else np.float32
        self.about: About | None = None
        if self.dtype == np.uint8:
            self.about = read_about(self._session.get_modelmeta().custom_metadata_map, where)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S) of what the network sees of one picture."""
        if self.about is None:
            return tuple(self.input.shape[1:])
        settings = self.about.preprocess
        return settings.channels, settings.input_size, settings.input_size

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self.input.name: images})[0]

    def end_profile(self) -> Path:
        """The JSON file of what was profiled until now."""
        return Path(self._session.end_profiling())
