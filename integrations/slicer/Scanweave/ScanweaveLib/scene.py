"""The scene of a running Slicer, as `logic.Scene` wants it. The only file that knows Slicer's libraries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from ScanweaveLib.logic import SceneVolume


class SlicerScene:
    """`slicer.mrmlScene`."""

    def volumes(self) -> Sequence[SceneVolume]:
        """As `Scene`: label maps are none."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [_volume(node) for node in nodes if not node.IsA("vtkMRMLLabelMapVolumeNode")]

    def save_volume(self, key: str, path: Path) -> None:
        """As `Scene`; the transform that a volume is under is left out: results come under the same."""
        if not slicer.util.exportNode(_node(key), str(path)):
            raise RuntimeError(f"Slicer could not write the volume {_node(key).GetName()}")

    def add_segmentation(self, path: Path, name: str, reference: str, description: str) -> str:
        """As `Scene`."""
        node = slicer.util.loadSegmentation(str(path))
        volume = _node(reference)
        node.SetName(name)
        node.SetDescription(description)
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        node.CreateClosedSurfaceRepresentation()
        # Below the reference's study: DICOM export takes patient and study from there.
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume))
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
        slicer.util.setSliceViewerLayers(background=volume)
        return node.GetID()

    def add_registered(self, key: str, name: str, matrix: np.ndarray, reference: str) -> tuple[str, str]:
        """As `Scene`."""
        original = _node(key)
        copy = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, original, name)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", f"{name} transform")
        transform.SetMatrixTransformToParent(_vtk_matrix(matrix))
        transform.SetAndObserveTransformNodeID(_node(reference).GetTransformNodeID())
        copy.SetAndObserveTransformNodeID(transform.GetID())
        return copy.GetID(), transform.GetID()


def _node(key: str) -> Any:
    return slicer.mrmlScene.GetNodeByID(key)


def _volume(node: Any) -> SceneVolume:
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = slicer.dicomDatabase
    files = tuple(filter(None, (database.fileForInstance(uid) for uid in uids))) if database else ()
    if not uids or len(files) < len(uids):  # not from DICOM, or the files are gone
        return SceneVolume(node.GetID(), node.GetName())
    series = database.fileValue(files[0], "0020,000e")
    return SceneVolume(node.GetID(), node.GetName(), files, series)


def _vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    made = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            made.SetElement(row, column, float(matrix[row, column]))
    return made
