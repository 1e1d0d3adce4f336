;FLAVOR:Marlin
;TIME:6423
;Filament used: 2.46412m, 0.25m
;Layer height: 0.2
;MINX:81.2
;MINY:82.1
;MINZ:0.28
;MAXX:138.8
;MAXY:140.2
;MAXZ:12.4
;TARGET_MACHINE.NAME:Creality Ender-3
;Generated with Cura_SteamEngine 5.7.1
M140 S60
M105
M190 S60
M104 S205
M105
M109 S205
M82 ;absolute extrusion mode
G28 ;Home
;LAYER_COUNT:62
;LAYER:0
;MESH:bracket.stl
G1 F2400 E0
G1 F1500 X100.1 Y100.2 E1.5
G0 F6000 X90 Y90 Z0.28
;MESH:NONMESH
;TIME_ELAPSED:55.1
;LAYER:1
;MESH:bracket.stl
G1 F1500 X120.1 Y100.2 Z12.4 E3.5
;TIME_ELAPSED:6423.2
M140 S0
M104 S0
;End of Gcode
;SETTING_3 {"global_quality": "[general]\\nversion = 4\\nname = Standard Quality
;SETTING_3  #2\\ndefinition = creality_ender3\\n\\n[values]\\nlayer_height_0 = 0.28\\
;SETTING_3 nmaterial_bed_temperature = 61\\nadhesion_type = skirt\\n", "extruder_quality": ["[gen
;SETTING_3 eral]\\nversion = 4\\n[values]\\nmaterial_print_temperature = 205\\nmachine_nozzle_size = 0.4\\n"]}
