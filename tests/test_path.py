"""The paths of searches."""

import numpy as np
import torch

from weakspot.search.path import MOMENTS, PathRecorder


def test_paths_have_the_frames_of_their_searches_and_stand_still_after_a_stop() -> None:
    recorder = PathRecorder(steps=15, channels=3)
    assert recorder.steps.tolist() == [0, 2, 4, 6, 8, 10, 12, 14] and len(recorder.steps) == MOMENTS
    for step in range(15):
        searches = np.array([5, 7]) if step < 5 else np.array([7])  # search 5 stops after five steps
        level = torch.tensor([(10 * search + step) / 255 for search in searches.tolist()])
        recorder(step, searches, level[:, None, None, None].expand(-1, 6, 2, 2))
    ends = np.full((2, 2, 2, 2, 3), 200, np.uint8)
    paths = recorder.paths(np.array([7, 5]), ends)[:, 0, 0, 0].reshape(2, MOMENTS + 1)
    assert paths[0].tolist() == [70, 72, 74, 76, 78, 80, 82, 84, 200]
    assert paths[1].tolist() == [50, 52, 54, 54, 54, 54, 54, 54, 200]
    assert PathRecorder(steps=3, channels=3).steps.tolist() == [0, 1, 2]
