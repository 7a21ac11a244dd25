"""Run an ONNX file. No torch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..errors import UserError


class OnnxModel:
    """A session of ONNX Runtime on the CPU.

    Args:
        path: the file; its one input is called with (B, C, H, W).
        threads: 1 for latencies that can be compared, 0 for all cores.
        profile: what the names of the runtime's profiles begin with; see `end_profile`.
    Raises:
        UserError: the runtime can't read the file.
    """

    def __init__(self, path: Path, *, threads: int = 0, profile: Path | None = None):
        import onnxruntime

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
                self._session = onnxruntime.InferenceSession(
                    Path(path).read_bytes(), options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # onnxruntime raises classes of its own that share no public base
            raise UserError(
                str(path), f"ONNX Runtime can't read it ({str(error).splitlines()[0][:120]}). Export it again."
            ) from error
        self.input = self._session.get_inputs()[0]
        self.dtype = np.uint8 if "uint8" in self.input.type else np.float32

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture."""
        return tuple(self.input.shape[1:])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self.input.name: images})[0]

    def end_profile(self) -> Path:
        """The JSON file of what was profiled until now."""
        return Path(self._session.end_profiling())
