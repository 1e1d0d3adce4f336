; HEADER_BLOCK_START
; BambuStudio 01.09.07.52
; model printing time: 18m 3s; total estimated time: 24m 35s
; total layer number: 62
; total filament length [mm] : 1024.50,30.25
; total filament volume [cm^3] : 2464.18,72.76
; total filament weight [g] : 3.06,0.09
; filament_density: 1.24,1.27
; filament_diameter: 1.75,1.75
; max_z_height: 12.40
; HEADER_BLOCK_END

; CONFIG_BLOCK_START
; chamber_temperatures = 40,0
; bed_temperature_formula = by_first_filament
; filament_colour = #26A69A;#F44336
; filament_settings_id = "Bambu ABS";"Bambu PLA Basic"
; filament_type = ABS;PLA
; hot_plate_temp = 90,55
; hot_plate_temp_initial_layer = 92,56
; curr_bed_type = Textured PEI Plate
; textured_plate_temp = 80,65
; textured_plate_temp_initial_layer = 81,66
; initial_layer_print_height = 0.25
; layer_height = 0.2
; nozzle_diameter = 0.4
; nozzle_temperature = 250,210
; nozzle_temperature_initial_layer = 255,220
; printer_model = Bambu Lab X1 Carbon
; printer_variant = 0.4
; printer_settings_id = Bambu Lab X1 Carbon 0.4 nozzle
; single_extruder_multi_material = 1
; CONFIG_BLOCK_END

; EXECUTABLE_BLOCK_START
M73 P0 R24
M201 X20000 Y20000 Z500 E5000
; start printing object, unique label id: 15
; CHANGE_LAYER
; Z_HEIGHT: 0.2
; LAYER_HEIGHT: 0.2
G1 Z.2 F30000
G1 X100.1 Y100.2 E1.5
; stop printing object, unique label id: 15
; CHANGE_LAYER
; Z_HEIGHT: 12.4
; LAYER_HEIGHT: 0.2
G1 Z12.4
T1
G1 X120.1 Y100.2 E1.5
M140 S0
; EXECUTABLE_BLOCK_END
