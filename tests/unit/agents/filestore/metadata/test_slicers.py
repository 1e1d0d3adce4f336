import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from agents.filestore.metadata.excerpt import HEAD_BYTES, TAIL_BYTES, excerpt
from agents.filestore.metadata.slicers import describe
from schemas.gcode_metadata import GcodeMetadata

SAMPLES = Path(__file__).parents[4] / "data" / "gcode"
FAMILY = {  # what our file of PrusaSlicer says, and those of its relatives
    "slicer_version": "2.8.1+linux-x64-GTK3",
    "object_height": 12.4,
    "estimated_time": 93969.0,
    "nozzle_diameter": 0.4,
    "layer_height": 0.2,
    "first_layer_height": 0.25,
    "first_layer_extr_temp": 215.0,
    "first_layer_bed_temp": 60.0,
    "chamber_temp": 45.0,
    "filament_name": '["Generic PLA", "Prusament PETG"]',
    "filament_type": '["PLA", "PETG"]',
    "filament_colors": ["#FF8000", "#00AA11"],
    "extruder_colors": ["#FF8000", "#112233"],
    "filament_temps": [210, 235],
    "filament_total": 4568.65,
    "filament_weight_total": 13.63,
    "filament_weights": [12.1, 1.53],
    "filament_change_count": 7,
    "mmu_print": 1,
    "referenced_tools": [0, 1],
    "printer_vendor": "Prusa Research",
    "printer_model": "MK4S",
    "printer_variant": "0.4",
    "profile_version": "2.1.0",
}
EXPECTED: dict[str, dict[str, Any]] = {
    "prusaslicer": {"slicer": "PrusaSlicer", **FAMILY},
    "superslicer": {"slicer": "SuperSlicer", **FAMILY, "slicer_version": "2.5.59"},
    "slic3rpe": {"slicer": "Slic3r PE", **FAMILY, "slicer_version": "1.41.3+linux64"},
    "qidislicer": {"slicer": "QIDISlicer", **FAMILY, "slicer_version": "1.2.0+win64"},
    "orcaslicer": {
        "slicer": "OrcaSlicer",
        "slicer_version": "2.2.0",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 1513.0,
        "nozzle_diameter": 0.4,
        "layer_height": 0.2,
        "first_layer_height": 0.2,
        "first_layer_extr_temp": 255.0,
        "first_layer_bed_temp": 100.0,
        "chamber_temp": 55.0,
        "filament_name": '["Voron ABS", "Voron PLA"]',
        "filament_type": '["ABS", "PLA"]',
        "filament_colors": ["#26A69A", "#F44336"],
        "extruder_colors": ["#FCE94F", "#111111"],
        "filament_temps": [250, 210],
        "filament_total": 1054.75,
        "filament_weight_total": 3.15,
        "filament_weights": [3.06, 0.09],
        "filament_change_count": 3,
        "mmu_print": 1,
        "referenced_tools": [0, 1],
        "objects": ["bracket_id_0_copy_0"],
        "printer_model": "Voron 2.4 350",
        "printer_variant": "0.4",
    },
    "bambustudio": {
        "slicer": "BambuStudio",
        "slicer_version": "01.09.07.52",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 1475.0,
        "nozzle_diameter": 0.4,
        "layer_height": 0.2,
        "first_layer_height": 0.25,
        "first_layer_extr_temp": 255.0,
        "first_layer_bed_temp": 81.0,  # of the plate that is on the bed
        "chamber_temp": 40.0,
        "filament_name": '["Bambu ABS", "Bambu PLA Basic"]',
        "filament_type": '["ABS", "PLA"]',
        "filament_colors": ["#26A69A", "#F44336"],
        "extruder_colors": [],
        "filament_temps": [250, 210],
        "filament_total": 1054.75,
        "filament_weight_total": 3.15,
        "filament_weights": [3.06, 0.09],
        "mmu_print": 1,
        "referenced_tools": [0, 1],
        "printer_model": "Bambu Lab X1 Carbon",
        "printer_variant": "0.4",
    },
    "cura": {
        "slicer": "Cura",
        "slicer_version": "5.7.1",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 6423.0,
        "nozzle_diameter": 0.4,
        "layer_height": 0.2,
        "first_layer_height": 0.28,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "filament_total": 2714.12,
        "printer_model": "Creality Ender-3",
    },
    "cura_griffin": {
        "slicer": "Cura",
        "slicer_version": "5.7.1",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 6423.0,
        "nozzle_diameter": 0.4,
        "first_layer_height": 0.27,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "printer_model": "Ultimaker 3",
    },
    "simplify3d": {
        "slicer": "Simplify3D",
        "slicer_version": "4.1.2",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 6420.0,
        "nozzle_diameter": 0.4,
        "layer_height": 0.2,
        "first_layer_height": 0.25,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "filament_name": "PLA",
        "filament_type": "PLA",
        "filament_total": 2464.1,
        "filament_weight_total": 7.41,
    },
    "simplify3d5": {
        "slicer": "Simplify3D",
        "slicer_version": "5.1.2",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 6420.0,
        "nozzle_diameter": 0.4,
        "layer_height": 0.2,
        "first_layer_height": 0.2,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "filament_name": "PLA",
        "filament_type": "PLA",
        "filament_total": 2464.1,
        "filament_weight_total": 7.41,
    },
    "ideamaker": {
        "slicer": "IdeaMaker",
        "slicer_version": "4.3.2.6470",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 6423.0,
        "nozzle_diameter": 0.4,
        "layer_height": 0.2,
        "first_layer_height": 0.25,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "filament_name": "Polymaker PLA",
        "filament_type": "PLA",
        "filament_total": 2464.1,
        "filament_weight_total": 7.3493,
    },
    "kisslicer": {
        "slicer": "KISSlicer",
        "slicer_version": "1.6.3",
        "object_height": 12.4,
        "estimated_time": 6423.0,
        "layer_height": 0.2,
        "first_layer_height": 0.25,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "filament_name": "PLA",
        "filament_total": 2464.1,
    },
    "slic3r": {
        "slicer": "Slic3r",
        "slicer_version": "1.3.0",
        "object_height": 12.4,
        "nozzle_diameter": 0.5,
        "layer_height": 0.2,
        "first_layer_height": 0.35,
        "first_layer_extr_temp": 215.0,
        "first_layer_bed_temp": 60.0,
        "filament_name": "My PLA",
        "filament_type": "PLA",
        "filament_colors": ["#FFFFFF"],
        "extruder_colors": ["#FFFFFF"],
        "filament_temps": [210],
        "filament_total": 2464.1,
        "referenced_tools": [],
    },
    "icesl": {
        "slicer": "IceSL",
        "slicer_version": "2.5.3",
        "layer_count": 62,
        "object_height": 12.4,
        "estimated_time": 6423.0,
        "nozzle_diameter": 0.4,
        "layer_height": 0.2,
        "first_layer_height": 0.25,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "chamber_temp": 35.0,
        "filament_name": "Polymaker PLA",
        "filament_type": "PLA",
        "filament_total": 2464.1,
        "filament_weight_total": 7.4,
    },
    "kirimoto": {
        "slicer": "Kiri:Moto",
        "slicer_version": "4.0.4",
        "object_height": 12.4,
        "estimated_time": 6423.0,
        "layer_height": 0.2,
        "first_layer_height": 0.25,
        "first_layer_extr_temp": 215.0,
        "first_layer_bed_temp": 60.0,
        "filament_total": 2464.1,
        "printer_model": "voron.v2",
    },
    "unknown": {"slicer": "Unknown", "slicer_version": "?"},
}


def described(path: Path) -> dict[str, object]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return describe(excerpt(descriptor))
    finally:
        os.close(descriptor)


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "part.gcode"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_every_field_of_each_slicer(name: str) -> None:
    found = described(SAMPLES / f"{name}.gcode")
    assert found.pop("file_processors") == []
    del found["gcode_start_byte"], found["gcode_end_byte"]
    assert found == EXPECTED[name]


def test_all_samples_are_expected() -> None:
    assert {path.stem for path in SAMPLES.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_commands_lie_between_start_and_end(name: str) -> None:
    content = (SAMPLES / f"{name}.gcode").read_bytes()
    found = GcodeMetadata(size=len(content), modified=0, uuid="", **described(SAMPLES / f"{name}.gcode"))
    around = content[: found.gcode_start_byte] + content[found.gcode_end_byte :]
    assert all(line.startswith(b";") for line in around.splitlines() if line)
    inside = content[found.gcode_start_byte : found.gcode_end_byte].splitlines()
    assert inside[0][:1].isalpha() and inside[-1][:1].isalpha()


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    content = (SAMPLES / "prusaslicer.gcode").read_bytes()
    found = described(written(tmp_path, b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")))
    assert {name: found[name] for name in EXPECTED["prusaslicer"]} == EXPECTED["prusaslicer"]


@pytest.mark.parametrize(
    ("lines", "field", "value"),
    [
        ("; first_layer_height = 75%\n; layer_height = 0.2", "first_layer_height", 0.15),
        ("; layer_height = 0.30000000000000004", "layer_height", 0.30000000000000004),
        ("; layer_height = nan", "layer_height", None),
        ("; layer_height = inf", "layer_height", None),
        ("; layer_height = 1" + "0" * 400, "layer_height", None),
        ("; layer_height = 1e308", "layer_height", None),
        ("; layer_height = abc", "layer_height", None),
        ("; filament used [mm] = 1,two,3", "filament_total", None),
        ("; filament_colour = red;#112233", "filament_colors", []),
        ("; filament_colour = " + ";".join(["#112233"] * 5000), "filament_colors", ["#112233"] * 64),
        ("; filament_settings_id = ;", "filament_name", None),
        ('; filament_settings_id = "a;b";"c"', "filament_name", '["a;b", "c"]'),
        ("; filament_type = \x1b[31mPLA\x00", "filament_type", "[31mPLA"),
        ("; filament_type = " + "P" * 9000, "filament_type", "P" * 256),
        ("; printer_model = ../../etc/passwd", "printer_model", "../../etc/passwd"),
        ("; referenced_tools = 0,2", "referenced_tools", [0, 2]),
        ("; filament: 1,3", "referenced_tools", [0, 2]),
        ("; filament used [mm] = 0.00, 12.5, 3.1", "referenced_tools", [1, 2]),
        ("; filament used [mm] = 12.5", "referenced_tools", []),
        ("; single_extruder_multi_material = 0", "mmu_print", 0),
        ("; estimated printing time (normal mode) = 1h", "estimated_time", 3600.0),
        ("; estimated printing time (normal mode) = soon", "estimated_time", None),
        ("; max_z_height: 12.40", "object_height", 12.4),
        ("; max_z_height  \t:  12.40", "object_height", 12.4),
        ("; nozzle_diameter = 0.25,0.4", "nozzle_diameter", 0.25),
    ],
)
def test_odd_values(tmp_path: Path, lines: str, field: str, value: object) -> None:
    head = "; generated by PrusaSlicer 2.8.1 on 2026-02-03 at 04:05:06 UTC\n"
    assert described(written(tmp_path, f"{head}G28\n{lines}\n")).get(field) == value


@pytest.mark.parametrize(
    ("commands", "fields"),
    [
        ("M140 S0\nM190 S65\nM104 T1 S0\nM109 T0 S210.5\nM141 S40\n", (210.5, 65.0, 40.0)),
        ("M104 S200 ; S5\n", (200.0, None, None)),
        ("; M104 S200\nG1 X1 ; M140 S60\n", (None, None, None)),
    ],
)
def test_temperatures_of_unknown_slicers_come_from_commands(
    tmp_path: Path, commands: str, fields: tuple[float | None, ...]
) -> None:
    found = described(written(tmp_path, commands))
    assert tuple(map(found.get, ("first_layer_extr_temp", "first_layer_bed_temp", "chamber_temp"))) == fields


CURA = ";Filament used: 2.46412m\n;Generated with Cura_SteamEngine 5.8.0\nM82\n"
NOTED = """;Nozzle diameter = 0.4
;Filament type = PLA
;Filament name = "eSUN PLA+"
;Filament weight = [7.35, 4.5]
;M109 S205
; M190 S60
;M191 S40
START_PRINT EXTRUDER_TEMP=205 BED_TEMP=60
M104 S200
"""


def test_what_people_note_for_us_before_the_start_macro_of_cura(tmp_path: Path) -> None:
    found = described(written(tmp_path, CURA + NOTED))
    expected = {
        "nozzle_diameter": 0.4,
        "first_layer_extr_temp": 205.0,
        "first_layer_bed_temp": 60.0,
        "chamber_temp": 40.0,
        "filament_name": "eSUN PLA+",
        "filament_type": "PLA",
        "filament_total": 2464.12,
        "filament_weight_total": 11.85,
        "filament_weights": [7.35, 4.5],
    }
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("version", "settings", "temperatures"),
    [
        (
            "4.1.2",
            "Name,Extruder 1,Heated Bed;SetpointCount,1,1;SetpointTemperatures,210,60;HeatedBed,0,1",
            (210.0, 60.0),
        ),
        ("4.1.2", "SetpointCount,2,1;SetpointTemperatures,215,210,60;HeatedBed,0,1", (215.0, 60.0)),
        ("4.1.2", "SetpointCount,1,1;SetpointTemperatures,60,210;HeatedBed,1,0", (210.0, 60.0)),
        ("4.1.2", "SetpointCount,1,1;SetpointTemperatures,210;HeatedBed,0,1", (210.0, None)),
        ("4.1.2", "SetpointCount,-5,9;SetpointTemperatures,210;HeatedBed,0,1", (210.0, None)),
        ("5.1.2", "Type,extruder;Number,0;Setpoints,1|210,2|205;Type,platform;Setpoints,1|60", (210.0, 60.0)),
        ("5.1.2", "Type,extruder;Number,0;Type,platform;Setpoints,1|60", (None, 60.0)),
    ],
)
def test_temperatures_of_simplify3d_where_a_macro_starts_the_print(
    tmp_path: Path, version: str, settings: str, temperatures: tuple[float | None, ...]
) -> None:
    lines = "".join(f";   temperature{line}\n" for line in settings.split(";"))
    head = f"; G-Code generated by Simplify3D(R) Version {version}\n{lines}START_PRINT\n"
    found = described(written(tmp_path, head))
    assert tuple(map(found.get, ("first_layer_extr_temp", "first_layer_bed_temp"))) == temperatures


def test_what_simplify3d_5_calls_otherwise(tmp_path: Path) -> None:
    head = "; G-Code generated by Simplify3D(R) Version 5.1.2\n;   nozzleDiameter,0.4\n;   nozzleDiameter,0.6\nG90\n"
    found = described(written(tmp_path, head + ";   Material Length: 2464.1 mm (2.46 m)\n"))
    assert (found["nozzle_diameter"], found["filament_total"]) == (0.4, 2464.1)


def test_what_ideamaker_says_of_filaments_and_layers(tmp_path: Path) -> None:
    head = ";Sliced by ideaMaker 5.0.6.8380, 2024-12-10 10:20:30 UTC+0100\n"
    for tool, density in ((1, 1240), (2, 1270)):
        head += f";Filament Diameter #{tool}: 1.750\n;Filament Density #{tool}: {density}.000\n"
    head += ";Filament type = PLA\n;Filament name = MyPLA\nG28\n"
    layers = ";LAYER:0\n;Z:0.300\n;HEIGHT:0.300\nG1 X1 E1\n;LAYER:1\n;Z:0.500\n;HEIGHT:0.200\nG1 X1 E1\n"
    found = described(written(tmp_path, head + layers + ";Material#1 Used: 2464.1\n;Material#2 Used: 100.0\n"))
    expected = {
        "layer_height": 0.2,
        "first_layer_height": 0.3,
        "filament_name": "MyPLA",
        "filament_type": "PLA",
        "filament_total": 2564.1,
        "filament_weight_total": 7.65477,
    }
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("head", "begin", "end"),
    [
        (
            "; generated by PrusaSlicer 2.8.1 on 2026-02-03 at 04:05:06",
            "prusaslicer_config = begin",
            "prusaslicer_config = end",
        ),
        ("; BambuStudio 01.09.07.52", "CONFIG_BLOCK_START", "CONFIG_BLOCK_END"),
    ],
)
def test_comments_around_the_settings_do_not_change_them(tmp_path: Path, head: str, begin: str, end: str) -> None:
    settings = f"; {begin}\n; layer_height = 0.2\n; nozzle_diameter = 0.4\n; {end}\n"
    others = "; layer_height = 5\n; total layers count = 62\n"
    for lines in (settings + "G28\n" + others, "G28\n" + others + settings, "G28\n" + settings + others):
        found = described(written(tmp_path, f"{head}\n{lines}"))
        assert (found["layer_height"], found["nozzle_diameter"], found["layer_count"]) == (0.2, 0.4, 62)


def test_slic3r_counts_filament_in_metres(tmp_path: Path) -> None:
    head = "; generated by Slic3r 1.3.1 on 2026-02-03 at 04:05:06\n"
    found = described(written(tmp_path, f"{head}G28\n; filament_length_m = 2.4641\n; filament mass_g = 7.41\n"))
    assert (found["filament_total"], found["filament_weight_total"]) == (2464.1, 7.41)


def test_layers_of_kirimoto_are_counted_from_0(tmp_path: Path) -> None:
    layers = ";; --- layer 0 (0.250 @ 0.25) ---\nG1 X1 E1\n;; --- layer 61 (0.200 @ 12.45) ---\nG1 X2 E1\n"
    assert described(written(tmp_path, "; Generated by Kiri:Moto 4.1.0\nG28\n" + layers))["layer_count"] == 62


def test_kisslicer_2_with_variable_layers(tmp_path: Path) -> None:
    head = "; KISSlicer - PRO\n; Windows\n; version 2.0.0 RC 1 Release\n; Built: Jul  7 2020, 09:44:37\n"
    lines = "; chamber_C = 45\n; layer_thickness_mm = 0.15\n; max_layer_thickness_mm = 0.25\n"
    found = described(written(tmp_path, head + lines + "G28\n"))
    assert (found["slicer"], found["slicer_version"]) == ("KISSlicer", "2.0.0-RC-1-Release")
    assert (found["chamber_temp"], found["layer_height"]) == (45.0, 0.25)


def test_percents_are_no_heights_of_kisslicer(tmp_path: Path) -> None:
    lines = "; layer_thickness_mm = -33\n; max_layer_thickness_mm = -67\n; first_layer_thickness_mm = -50\n"
    layer = "; BEGIN_LAYER_OBJECT z=0.250 z_thickness=0.250\nG1 X1 Y1 Z0.25 E1\n"
    found = described(written(tmp_path, f"; KISSlicer - PRO\n; version 1.6.3\n{lines}G28\n{layer}"))
    assert "layer_height" not in found
    assert found["first_layer_height"] == 0.25


@pytest.mark.parametrize(
    ("line", "slicer"),
    [
        ("; generated by Creality_Print V7.2.2.5483 on 2026-09-29 at 07:03:52", ("Creality_Print", "V7.2.2.5483")),
        ("; generated by OrcaSlicer Nightly on 2026-09-29 at 07:03:52", ("OrcaSlicer", "Nightly")),
        (
            "; generated by Anycubic Slicer 3D 1.2.0-beta on 2026-09-29 at 07:03:52",
            ("Anycubic Slicer 3D", "1.2.0-beta"),
        ),
        ("; generated by Slic3r 1.2.9 2026-09-29", ("Slic3r", "1.2.9")),
        ("; generated by PrusaSlicer on 2026-09-29 at 07:03:52", ("PrusaSlicer", "?")),
        ("; <IceSL Dec 20 2021 17:10:40>", ("IceSL", "?")),
        ("; <IceSL 2.4.1>", ("IceSL", "2.4.1")),
        ("; BambuStudio-beta 02.00.00.50", ("BambuStudio", "02.00.00.50")),
    ],
)
def test_names_and_versions(tmp_path: Path, line: str, slicer: tuple[str, str]) -> None:
    found = described(written(tmp_path, f"{line}\nG28\n"))
    assert (found["slicer"], found["slicer_version"]) == slicer


def test_the_first_layer_is_the_lowest_with_filament(tmp_path: Path) -> None:
    start = "G28\nG1 Z15\nG1 E5\nG1 Z0\nG92 E0\nG1 Z0.05\nG1 X1 Y1\nG1 Z0.5\nG1 E1\n"
    found = described(written(tmp_path, f"{start}G1 Z0.3 F300\nG1 X10 Y10 E1\nG1 Z12.4\nG1 X20 E2\nG1 Z40\n"))
    assert (found["first_layer_height"], found["object_height"]) == (0.3, 15.0)


def test_lifts_and_parking_are_no_height_of_the_object(tmp_path: Path) -> None:
    found = described(written(tmp_path, "G1 Z0.2\nG1 X1 E1\nG1 Z8.4\nG1 X2 E1\nG1 Z9\nG1 X3 E-1\nG1 Z50 F600\nM84\n"))
    assert found["object_height"] == 8.4


def test_marks_of_processors_are_listed(tmp_path: Path) -> None:
    lines = "; Pre-Processed for Cancel-Object support by preprocess_cancellation v0.2.0\nG28\n"
    found = described(written(tmp_path, lines + "; Processed by klipper_estimator 3.7.3, defaults\n"))
    assert found["file_processors"] == ["preprocess_cancellation", "klipper_estimator"]


def test_pictures_do_not_hide_what_stands_around_them(tmp_path: Path) -> None:
    picture = "; thumbnail begin 300x300 400000\n" + f"; {'A' * 78}\n" * 5000 + "; thumbnail end\n"
    head = f"; generated by PrusaSlicer 2.8.1 on 2026-02-03 at 04:05:06 UTC\n; printer_model = MK4S\n{picture}G28\n"
    found = described(written(tmp_path, head + picture + "EXCLUDE_OBJECT_DEFINE NAME=a\n" + "G1 X1 Y1\n" * 200_000))
    assert (found["printer_model"], found["objects"]) == ("MK4S", ["a"])


def test_only_head_and_tail_of_a_large_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.gcode"
    with path.open("wb") as file:
        file.write(b"; generated by PrusaSlicer 2.8.1 on 2026-02-03 at 04:05:06 UTC\nG28\n")
        file.write(b"; layer_height = 7\n" * 10)
        file.seek(HEAD_BYTES + TAIL_BYTES + (8 << 30))  # a hole
        file.write(b"\nG1 X1\n; layer_height = 0.2\n")
    found = described(path)
    assert found["layer_height"] == 0.2
    assert found["gcode_end_byte"] == HEAD_BYTES + TAIL_BYTES + (8 << 30) + 7


@pytest.mark.parametrize("content", [b"", b"\n", b";", b"\xff\xfe\x00", b"; only comments\n", b"\x00" * 4096])
def test_files_without_commands(tmp_path: Path, content: bytes) -> None:
    assert described(written(tmp_path, content)) == {"file_processors": [], "slicer": "Unknown", "slicer_version": "?"}


def test_text_that_is_not_utf8_is_kept_readable(tmp_path: Path) -> None:
    head = b"; generated by Pr\xfcsa 1.0 on\n; filament_type = PL\xc3(\n"
    found = described(written(tmp_path, head + b"G28\n"))
    assert (found["slicer"], found["filament_type"]) == ("Pr\ufffdsa", "PL\ufffd(")


@pytest.mark.parametrize("filler", ["1", " ", "a", "1 ", ';"'])
def test_no_line_that_a_slicer_writes_becomes_slow_by_what_follows(tmp_path: Path, filler: str) -> None:
    tried: set[str] = set()
    for sample in sorted(SAMPLES.iterdir()):
        lines = sample.read_text().splitlines()
        starts = {line[: found.end()] for line in lines for found in re.finditer(r"[=:,] ?|[ <]v?(?=\d)|$", line)}
        hostile = [start + filler * (20_000 // len(filler)) for start in sorted(starts - tried)]
        tried |= starts
        began = time.process_time()
        described(written(tmp_path, "\n".join(lines + hostile)))
        assert time.process_time() - began < 1, sample.name


def test_definitions_of_objects_without_a_name_are_passed_over(tmp_path: Path) -> None:
    began = time.process_time()
    define = "EXCLUDE_OBJECT_DEFINE"
    found = described(written(tmp_path, f"G28\n{define}{' ' * 20_000}\n{define}  NAME=a\n"))
    assert time.process_time() - began < 1
    assert found["objects"] == ["a"]
