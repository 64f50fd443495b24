// APSQ's step for one psum: the stored one is shifted up by its scale and added, the sum is rounded half up, shifted
// down and saturated to BITS; no registers, as the model counts its lane's logic.
module requantiser #(parameter BITS = 8, parameter ACC = 32) (
  input signed [ACC-1:0] sum, input signed [BITS-1:0] stored, input [4:0] up, input [4:0] down,
  output reg signed [BITS-1:0] code
);
  localparam signed [ACC-1:0] MOST = (1 << (BITS - 1)) - 1;
  wire signed [ACC-1:0] before = {{(ACC-BITS){stored[BITS-1]}}, stored} <<< up;
  wire signed [ACC-1:0] total = sum + before;
  wire signed [ACC-1:0] shifted = total >>> down;
  wire half = (down != 0) && total[down - 1];
  wire signed [ACC-1:0] rounded = shifted + half;
  always @* begin
    if (rounded > MOST) code = MOST;
    else if (rounded < -MOST) code = -MOST;
    else code = rounded[BITS-1:0];
  end
endmodule
