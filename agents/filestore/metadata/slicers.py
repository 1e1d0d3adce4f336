"""The slicers: how each is recognised, and which of its words mean which field of metadata."""

import math
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

from .excerpt import Excerpt
from .readers import (
    Reader,
    above_zero,
    added,
    bottom,
    colour_list,
    command,
    finder,
    first,
    integers,
    many,
    numbered,
    numbered_texts,
    one,
    pattern,
    period,
    text,
    texts,
    top,
    whole,
)
from .values import DECIMAL, MAX_ITEMS, clean, number, numbers, seconds, total

Fields = Mapping[str, Reader]

OBJECT = re.compile(r"^EXCLUDE_OBJECT_DEFINE[ \t](?:[^\n]*?[ \t])?NAME=(\S{1,128})", re.MULTILINE)
MAX_OBJECTS = 256
PROCESSORS = {
    "preprocess_cancellation": re.compile(
        r"^; Pre-Processed for Cancel-Object support by preprocess_cancellation", re.M
    ),
    "klipper_estimator": re.compile(r"^; Processed by klipper_estimator", re.M),
}
BED_OF_PLATE = {  # how BambuStudio and OrcaSlicer call the temperatures of the plate that is on the bed
    "cool plate": "cool_plate_temp",
    "supertack plate": "supertack_plate_temp",
    "bambu cool plate supertack": "supertack_plate_temp",
    "textured cool plate": "textured_cool_plate_temp",
    "engineering plate": "eng_plate_temp",
    "high temp plate": "hot_plate_temp",
    "smooth pei plate": "hot_plate_temp",
    "textured pei plate": "textured_plate_temp",
}


def plate_temperature(excerpt: Excerpt) -> float | None:
    """The bed's temperature in the first layer, of the plate that is used."""
    plate = BED_OF_PLATE.get(excerpt.notes.get("curr_bed_type", "").lower(), "hot_plate_temp")
    value = one(f"{plate}_initial_layer", plate)(excerpt)
    return value if isinstance(value, float) else None


def slic3r_first_layer(excerpt: Excerpt) -> float | None:
    """Its height, which may be given in percent of the others'."""
    for name in ("first_layer_height", "initial_layer_print_height"):
        value, height = excerpt.notes.get(name, ""), excerpt.notes.get("layer_height", "")
        if value.endswith("%"):
            return _percent(value, height)
        if (found := number(value)) is not None:
            return found
    return None


def _percent(share: str, of: str) -> float | None:
    part, whole_ = number(share), number(of)
    return None if part is None or whole_ is None else round(part * whole_ / 100, 3)


def simplify3d_first_layer(excerpt: Excerpt) -> float | None:
    """Its height, given in percent of the others'."""
    return _percent(excerpt.notes.get("firstlayerheightpercentage", ""), excerpt.notes.get("layerheight", ""))


def simplify3d_temperature(*, bed: bool) -> Reader:
    """The first one of the bed, or of the first heater that is none, as version 4 lists them."""

    def reader(excerpt: Excerpt) -> float | None:
        beds, counts, temperatures = (
            numbers(excerpt.notes.get(f"temperature{name}", ""))
            for name in ("heatedbed", "setpointcount", "setpointtemperatures")
        )
        places = accumulate(map(int, counts), initial=0)
        own = [place for is_bed, place in zip(beds, places, strict=False) if is_bed == bed]
        return temperatures[own[0]] if own and 0 <= own[0] < len(temperatures) else None

    return reader


def simplify3d5_temperature(kind: str) -> Reader:
    """The first one of the first heater of a kind, as version 5 describes them one after the other."""
    return pattern(
        rf"^;[ \t]*temperatureType,{kind}\n(?:;(?![ \t]*temperatureType)[^\n]*\n){{0,8}}?"
        rf";[ \t]*temperatureSetpoints,\d{{1,6}}\|({DECIMAL})"
    )


def ideamaker_height(layer: int) -> Reader:
    """The height of a layer, from its marks."""
    return pattern(rf"^;LAYER:{layer}\n(?:;(?!LAYER)[^\n]*\n){{0,4}}?;HEIGHT: ?({DECIMAL})")


def ideamaker_weight(excerpt: Excerpt) -> float | None:
    """Of all materials, from length, diameter (mm) and density (kg/m3), g."""
    names = "material#{} used", "filament diameter #{}", "filament density #{}"
    weights = []
    for tool in range(1, MAX_ITEMS + 1):
        length, diameter, density = (one(name.format(tool))(excerpt) for name in names)
        if isinstance(length, float) and isinstance(diameter, float) and isinstance(density, float):
            weights.append(math.pi / 4 * diameter**2 * length * density / 1e6)
    return total(weights)


def referenced_tools(excerpt: Excerpt) -> list[int]:
    """The tools that the print uses: as listed, or those of several that need filament."""
    listed = integers("referenced_tools")(excerpt)
    if isinstance(listed, list) and listed:
        return listed
    slots = integers("filament")(excerpt)  # of OrcaSlicer and BambuStudio, counted from 1
    if isinstance(slots, list) and slots:
        return [slot - 1 for slot in slots if slot > 0]
    used = many("filament used [mm]", "total filament length [mm]")(excerpt)
    return [tool for tool, length in enumerate(used) if length] if isinstance(used, list) and len(used) > 1 else []


def last_layer(expression: str, offset: int = 0) -> Reader:
    """The number of layers, from the number of the last one."""
    compiled = re.compile(expression, re.MULTILINE)

    def reader(excerpt: Excerpt) -> int | None:
        found = compiled.findall(excerpt.remarks[1])
        return int(found[-1]) + offset if found else None

    return reader


def objects(excerpt: Excerpt) -> list[str] | None:
    """The names of the objects that the file defines for exclusion."""
    found = [clean(name) for name in OBJECT.findall(excerpt.opening)[:MAX_OBJECTS]]
    return found or None


TOTAL_TIME = finder(r"total estimated time: *([^;\n]+)")  # of BambuStudio, in a line with another time

EVERY: Fields = {
    "object_height": top,
    "first_layer_height": bottom,
    "first_layer_extr_temp": command("M104", "M109"),
    "first_layer_bed_temp": command("M190", "M140"),
    "chamber_temp": command("M191", "M141"),
    "objects": objects,
}
SLIC3R: Fields = {  # and its many children
    "layer_height": one("layer_height"),
    "first_layer_height": slic3r_first_layer,
    "object_height": first(one("max_z_height"), top),
    "layer_count": whole("total layer number", "total layers count"),
    "estimated_time": first(
        period("estimated printing time (normal mode)", "estimated printing time"),
        lambda excerpt: seconds(TOTAL_TIME(excerpt)),
    ),
    "nozzle_diameter": one("nozzle_diameter"),
    "first_layer_extr_temp": one(
        "first_layer_temperature", "nozzle_temperature_initial_layer", "temperature", "nozzle_temperature"
    ),
    "first_layer_bed_temp": first(one("first_layer_bed_temperature"), plate_temperature, one("bed_temperature")),
    "chamber_temp": one("chamber_temperature", "chamber_temperatures"),
    "filament_name": texts("filament_settings_id"),
    "filament_type": texts("filament_type"),
    "filament_colors": colour_list("filament_colour"),
    "extruder_colors": colour_list("extruder_colour"),
    "filament_temps": integers("temperature", "nozzle_temperature"),
    "filament_total": first(
        added("filament used [mm]", "total filament length [mm]", "filament used"),
        pattern(rf"^; filament_length_m = ({DECIMAL})", factor=1000),
    ),
    "filament_weight_total": first(
        one("total filament used [g]"), added("filament used [g]", "total filament weight [g]", "filament mass_g")
    ),
    "filament_weights": many("filament used [g]", "total filament weight [g]"),
    "filament_change_count": whole("total filament change", "total filament changes", "total toolchanges"),
    "mmu_print": whole("single_extruder_multi_material"),
    "referenced_tools": referenced_tools,
    "printer_vendor": text("printer_vendor"),
    "printer_model": text("printer_model"),
    "printer_variant": text("printer_variant"),
    "profile_version": text("profile_version"),
}
MACRO = r"(?:;[ \t]*)?"  # before commands that people leave in comments for us, where a macro starts the print
CURA: Fields = {
    "layer_height": one("layer height"),
    "first_layer_height": first(pattern(rf"layer_height_0 = ({DECIMAL})"), one("minz", "print.size.min.z")),
    "object_height": first(one("maxz", "print.size.max.z"), top),
    "layer_count": whole("layer_count"),
    "estimated_time": first(one("time", "print.time")),
    "nozzle_diameter": first(
        one("extruder_train.0.nozzle.diameter", "nozzle diameter"), pattern(rf"machine_nozzle_size = ({DECIMAL})")
    ),
    "first_layer_extr_temp": first(one("extruder_train.0.initial_temperature"), command("M104", "M109", before=MACRO)),
    "first_layer_bed_temp": first(one("build_plate.initial_temperature"), command("M190", "M140", before=MACRO)),
    "chamber_temp": command("M191", "M141", before=MACRO),
    "filament_name": text("filament name"),
    "filament_type": text("filament type"),
    "filament_total": lambda excerpt: cura_filament(excerpt.notes.get("filament used", "")),
    "filament_weight_total": added("filament weight"),
    "filament_weights": many("filament weight"),
    "printer_model": text("target_machine.name"),
}
SIMPLIFY3D: Fields = {
    "layer_height": one("layerheight"),
    "first_layer_height": simplify3d_first_layer,
    "layer_count": last_layer(r"^; layer (\d{1,6}), Z"),
    "estimated_time": period("build time"),
    "nozzle_diameter": pattern(rf"^;[ \t]*(?:extruder|nozzle|tool)Diameter,({DECIMAL})"),
    "first_layer_extr_temp": first(simplify3d_temperature(bed=False), simplify3d5_temperature("extruder")),
    "first_layer_bed_temp": first(simplify3d_temperature(bed=True), simplify3d5_temperature("platform")),
    "filament_name": texts("printmaterial", "primarymaterial"),
    "filament_type": texts("printmaterial", "primarymaterial"),
    "filament_total": one("filament length", "material length"),
    "filament_weight_total": one("plastic weight", "material weight"),
}
IDEAMAKER: Fields = {
    "layer_height": first(one("layer height"), ideamaker_height(1)),
    "first_layer_height": ideamaker_height(0),
    "object_height": first(pattern(rf"^;Bounding Box: (?:[-\d.]+ ){{5}}({DECIMAL})"), top),
    "layer_count": last_layer(r"^;LAYER:(\d{1,6})", 1),
    "estimated_time": one("print time"),
    "nozzle_diameter": first(one("nozzle diameter #1"), pattern(rf"^;Dimension: (?:[\d.]+ ){{3}}({DECIMAL})")),
    "filament_name": first(numbered_texts(r"filament name #\d+"), text("filament name")),
    "filament_type": first(numbered_texts(r"filament type #\d+"), text("filament type")),
    "filament_total": numbered(r"material#\d+ used"),
    "filament_weight_total": ideamaker_weight,
}
KISSLICER: Fields = {  # thicknesses below 0 are percents of the nozzle's
    "layer_height": above_zero("max_layer_thickness_mm", "layer_thickness_mm"),
    "first_layer_height": above_zero("first_layer_thickness_mm"),
    "estimated_time": pattern(
        rf"^;[ \t]*(?:Estimated|Calculated)[^:\n]*Build Time:[ \t]*({DECIMAL}) minutes", factor=60
    ),
    "first_layer_extr_temp": one("first_layer_c", "temperature_c"),
    "first_layer_bed_temp": one("bed_c"),
    "chamber_temp": one("chamber_c"),
    "filament_name": text("mat_name"),
    "filament_total": numbered(r"ext #?\d+"),
}
ICESL: Fields = {
    "layer_height": one("z_layer_height_mm"),
    "first_layer_height": one("z_layer_height_first_layer_mm", "z_layer_height_mm"),
    "object_height": first(one("print_height_mm"), top),
    "layer_count": whole("layer_count", "nb_layers"),
    "estimated_time": one("estimated_print_time_s"),
    "nozzle_diameter": one("nozzle_diameter_mm_0"),
    "first_layer_extr_temp": one("extruder_temp_degree_c_0"),
    "first_layer_bed_temp": one("bed_temp_degree_c"),
    "chamber_temp": one("chamber_temp_degree_c"),
    "filament_name": texts("filament_name"),
    "filament_type": texts("filament_type"),
    "filament_total": one("filament_used_mm"),
    "filament_weight_total": one("filament_used_g"),
}
KIRIMOTO: Fields = {
    "layer_height": one("sliceheight"),
    "first_layer_height": first(one("firstsliceheight", "firstlayerheight"), one("sliceheight")),
    "layer_count": last_layer(r"^;; --- layer (\d{1,6}) \(", 1),
    "estimated_time": pattern(rf"print time: *({DECIMAL}) ?s"),
    "first_layer_extr_temp": first(one("firstlayernozzletemp"), one("outputtemp"), command("M104", "M109")),
    "first_layer_bed_temp": first(one("firstlayerbedtemp"), one("outputbedtemp"), command("M190", "M140")),
    "filament_total": pattern(rf"(?:used filament|filament used): *({DECIMAL}) ?mm"),
    "printer_model": text("target"),
}
METRES, MILLIMETRES = (re.compile(rf"(?<![\d.])({DECIMAL}) ?{unit}\b") for unit in ("m", "mm"))


def cura_filament(used: str) -> float | None:
    """Millimetres of all extruders, from `2.46m, 0.2m`; None where they are volumes."""
    lengths = [float(length) * 1000 for length in METRES.findall(used)] or list(map(float, MILLIMETRES.findall(used)))
    return round(sum(lengths), 3) if lengths else None


class Slicer(NamedTuple):
    """A family of slicers: a pattern that finds the name (or is given one) and the version, and its words."""

    sign: re.Pattern[str]
    name: str | None
    fields: Fields


def _slicer(sign: str, name: str | None, fields: Fields) -> Slicer:
    return Slicer(re.compile(rf"^;[ \t]*{sign}", re.MULTILINE), name, fields)


SLICERS = (
    _slicer(r"G-Code generated by Simplify3D\(R\) Version (?P<version>\S+)", "Simplify3D", SIMPLIFY3D),
    _slicer(r"Generated with Cura_SteamEngine (?P<version>\S+)", "Cura", CURA),
    _slicer(r"GENERATOR\.NAME:Cura_SteamEngine\n;GENERATOR\.VERSION:(?P<version>\S+)", "Cura", CURA),
    _slicer(r"Sliced by ideaMaker (?P<version>[^\s,]+)", "IdeaMaker", IDEAMAKER),
    _slicer(
        r"KISSlicer[^\n]*(?:\n(?:;(?! version )[^\n]*\n){0,4}?; version (?P<version>[^\n]*))?", "KISSlicer", KISSLICER
    ),
    _slicer(r"<IceSL[ -]?v?(?P<version>\d[\w.-]{0,63})?", "IceSL", ICESL),
    _slicer(r"Generated by Kiri:Moto \(SimplyPrint\) (?P<version>\S+)", "SimplyPrint", KIRIMOTO),
    _slicer(r"Generated by Kiri:Moto (?P<version>\d\S*)", "Kiri:Moto", KIRIMOTO),
    _slicer(r"generated by Slic3r Prusa Edition (?P<version>\S+)", "Slic3r PE", SLIC3R),
    _slicer(r"(?P<name>BambuStudio)\S{0,32} (?P<version>\d\S*)", None, SLIC3R),
    _slicer(
        r"generated by (?P<name>[^\s\d][^\n]{0,62}?)(?:[ \t]{1,8}(?P<version>\S{1,256}))? on \d{4}-\d\d-\d\d at ",
        None,
        SLIC3R,
    ),
    _slicer(r"generated by (?P<name>[^\s\d][^\n]{0,62}?)[ \t]{1,8}v?(?P<version>\d\S*)", None, SLIC3R),
)


def describe(excerpt: Excerpt) -> dict[str, object]:
    """The fields of metadata that the comments and commands of a file give."""
    name, version, fields = _identify(excerpt)
    found: dict[str, object] = {"file_processors": processors(excerpt), "slicer": name, "slicer_version": version}
    if excerpt.start is not None:
        found["gcode_start_byte"] = excerpt.start
    if excerpt.end is not None:
        found["gcode_end_byte"] = excerpt.end
    for field in {**EVERY, **fields}:
        value = next(
            (v for table in (fields, EVERY) if field in table and (v := table[field](excerpt)) is not None), None
        )
        if value is not None:
            found[field] = value
    return found


def _identify(excerpt: Excerpt) -> tuple[str, str, Fields]:
    for part in excerpt.remarks:  # Cura's name comes after the commands of some machines
        for slicer in SLICERS:
            if found := slicer.sign.search(part):
                groups = found.groupdict()
                return (
                    slicer.name or clean(groups["name"]),
                    clean(groups.get("version") or "?").replace(" ", "-"),
                    slicer.fields,
                )
    return "Unknown", "?", {}


def processors(excerpt: Excerpt) -> list[str]:
    """The programs that have changed the file after slicing, by the marks that they leave."""
    return [name for name, mark in PROCESSORS.items() if any(map(mark.search, excerpt.remarks))]
