; KISSlicer - PRO
; version 1.6.3
; Built: May  8 2018, 10:53:59
; Running on 4 cores
;
; Saved: Tue Feb 03 04:05:06 2026
; 'bracket.gcode'
;
; *** Printer Settings ***
;
; extruder_name = bowden
; bed_C = 60
; destring_speed_mm_per_s = 40
; *** Material Settings for Extruder 1 ***
; mat_name = PLA
; temperature_C = 200
; keep_warm_C = 100
; first_layer_C = 205
; bed_C = 60
; *** Style Settings ***
; layer_thickness_mm = 0.2
; first_layer_thickness_mm = 0.25
; extrusion_width_mm = 0.4
G28
M190 S60
M109 S205
; BEGIN_LAYER_OBJECT z=0.250 z_thickness=0.250
G1 X100.1 Y100.2 Z0.25 E1.5 F1800
; END_LAYER_OBJECT z=0.250
; BEGIN_LAYER_OBJECT z=12.400 z_thickness=0.200
G1 X120.1 Y100.2 E3.5
; END_LAYER_OBJECT z=12.400
M104 S0
; Estimated Build Time:   107.05 minutes
; Estimated Build Cost:   $0.31
; Filament used per extruder:
;    Ext #1 =  2464.10 mm  (5.92 cm^3)
