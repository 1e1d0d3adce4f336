; some script of mine
; nothing known here
G28
G1 X10 Y10 E1 F600
M84
