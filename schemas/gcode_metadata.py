"""What is known about a gcode file: what its slicer wrote into it, and where its pictures are."""

from typing import Self

from pydantic import Field

from .base import Model


class Thumbnail(Model):
    """One picture of the sliced model."""

    width: int
    height: int
    size: int = Field(description="Bytes of the picture's file.")
    relative_path: str = Field(description="Relative to the folder of the gcode file.")


class GcodeMetadata(Model):
    """What a scan finds. Size, time and id are always there; of the rest, what the file does not say is left out."""

    size: int = Field(description="Bytes.")
    modified: float = Field(description="Unix seconds.")
    uuid: str = Field(description="New with every scan.")
    file_processors: list[str] = Field([], description="Programs that have changed the file after slicing.")
    slicer: str = "Unknown"
    slicer_version: str = "?"
    gcode_start_byte: int = Field(0, description="Where the first command begins.")
    gcode_end_byte: int = Field(0, description="Where the last command's line ends.")
    layer_count: int = 0
    object_height: float = Field(0, description="Of the tallest object, mm.")
    estimated_time: float = Field(0, description="Seconds.")
    nozzle_diameter: float = Field(0, description="Of the first tool, mm.")
    layer_height: float = Field(0, description="mm.")
    first_layer_height: float = Field(0, description="mm.")
    first_layer_extr_temp: float = Field(0, description="Of the first tool, degrees Celsius.")
    first_layer_bed_temp: float = Field(0, description="Degrees Celsius.")
    chamber_temp: float = Field(0, description="Degrees Celsius.")
    filament_name: str = Field("", description="A JSON array in a string where there are several.")
    filament_type: str = Field("", description="A JSON array in a string where there are several.")
    filament_colors: list[str] = Field([], description="As #RRGGBB, by tool.")
    extruder_colors: list[str] = Field([], description="As #RRGGBB, by tool.")
    filament_temps: list[int] = Field([], description="Degrees Celsius, by tool.")
    filament_total: float = Field(0, description="mm.")
    filament_change_count: int = 0
    filament_weight_total: float = Field(0, description="Grams.")
    filament_weights: list[float] = Field([], description="Grams, by tool.")
    mmu_print: int = Field(0, description="1 where one extruder prints several filaments.")
    referenced_tools: list[int] = Field(
        [], description="The tools that the print uses; empty where the file has no list."
    )
    objects: list[str] = Field([], description="Objects that can be excluded, as the file defines them.")
    printer_vendor: str = ""
    printer_model: str = ""
    printer_variant: str = ""
    profile_version: str = ""
    thumbnails: list[Thumbnail] = Field([], description="A small one of 32x32 is among them.")


class FileMetadata(GcodeMetadata):
    """The metadata of one file, and when it was printed last."""

    print_start_time: float | None = Field(description="Unix seconds; null until it is printed.")
    job_id: str | None = Field(description="Of its last print; null until it is printed.")
    filename: str = Field(description="Relative to gcodes.")

    @classmethod
    def of(
        cls, metadata: GcodeMetadata, filename: str, *, print_start_time: float | None = None, job_id: str | None = None
    ) -> Self:
        """The metadata with the name and the last print of its file."""
        known = metadata.model_dump(exclude_unset=True)
        return cls(**known, print_start_time=print_start_time, job_id=job_id, filename=filename)
