;Sliced by ideaMaker 4.3.2.6470, 2026-02-03 04:05:06 UTC+0000
;Dimension: 250.000 250.000 300.000 0.400
;Plate Shape: 0
;Bounding Box: 81.200 138.800 82.100 140.200 0.000 12.400
;Gcode Flavor: Marlin
;Filament Diameter #1: 1.750
;Filament Compensation #1: 94.0
;Filament Density #1: 1240.000
;Filament Type #1: PLA
;Filament Name #1: Polymaker PLA
;Layer Height: 0.200
;Nozzle Diameter #1: 0.400
M140 S60.00
M104 T0 S205.00
M109 T0 S205.00
;PRINTING: bracket.stl
;PRINTING_ID: 0
;LAYER:0
;Z:0.250
;HEIGHT:0.250
G1 X100.1 Y100.2 Z0.25 F1800
G1 X101.1 Y100.2 E1.5
;LAYER:61
;Z:12.400
;HEIGHT:0.200
G1 X120.1 Y100.2 E3.5
;REMAINING_TIME: 0
M104 S0
;Print Time: 6423
;Material#1 Used: 2464.1
;Material#2 Used: 0.0
;Filament used: 2.4641m
;TOTAL_NUM: 1
