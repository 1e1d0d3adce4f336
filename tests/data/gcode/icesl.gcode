; <IceSL v2.5.3>
; <made with> IceSL
; bed_temp_degree_c :  60
; extruder_temp_degree_c_0 :  205
; filament_diameter_mm_0 :  1.75
; nozzle_diameter_mm_0 :  0.4
; z_layer_height_mm :  0.2
; z_layer_height_first_layer_mm :  0.25
; print_height_mm :  12.4
; filament_name :  "Polymaker PLA"
; filament_type :  "PLA"
; filament_used_mm :  2464.1
; filament_used_g :  7.4
; estimated_print_time_s :  6423
; chamber_temp_degree_c : 35
; layer_count : 62
G28
M109 S205
;<layer 1>
G1 X100.1 Y100.2 Z0.25 E1.5
G1 X120.1 Y100.2 Z12.4 E3.5
M104 S0
