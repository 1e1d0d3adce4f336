"""Keeps the metadata of jobs small: what slicers write is much alike, so a dictionary makes a third of it."""

import zlib

from bus.envelope import dumps, loads

from .totals import Json

# A change of it makes snapshots unreadable: it goes with a new version of the fold.
_DICTIONARY = (
    b'"mmu_print":0,"filament_change_count":"printer_vendor":"printer_model":"profile_version":"extruder_colors":[],'
    b'"referenced_tools":[],"filament_temps":[210],"filament_colors":["#FF8000"],"chamber_temp":0.0,"layer_count":'
    b'"filament_name":"Generic PLA","filament_type":"PLA","filament_type":"PETG","filament_weights":[36.82],'
    b'"file_processors":["preprocess_cancellation"],"objects":["slicer":"OrcaSlicer","slicer":"Cura","slicer_version":"'
    b'{"size":50432,"modified":1795198025.4181635,"uuid":"file_processors":[],"slicer":"PrusaSlicer","slicer_version":'
    b'"2.7.4","gcode_start_byte":36233,"gcode_end_byte":42613,"object_height":1.2,"estimated_time":5025,'
    b'"nozzle_diameter":0.4,"layer_height":0.2,"first_layer_height":0.2,"first_layer_extr_temp":215.0,'
    b'"first_layer_bed_temp":60.0,"filament_total":12345.67,"filament_weight_total":36.82,"thumbnails":[{"width":32,'
    b'"height":32,"size":3172,"relative_path":".thumbs/-32x32.png"},{"width":300,"height":300,"size":'
    b'"relative_path":".thumbs/-300x300.png"}]}'
)
EMPTY = b""


def pack(metadata: Json) -> bytes:
    """The metadata of a job; EMPTY where there is none."""
    if not metadata:
        return EMPTY
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS, zdict=_DICTIONARY)
    return packer.compress(dumps(metadata)) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """The JSON of it."""
    return zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=_DICTIONARY).decompress(packed) if packed else b"{}"


def modified(packed: bytes) -> float | None:
    """When the file was changed that a job printed; None where that is not known."""
    found = loads(unpack(packed)).get("modified") if packed else None
    return float(found) if isinstance(found, (int, float)) else None
