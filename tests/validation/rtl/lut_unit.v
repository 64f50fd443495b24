// An 8-entry piecewise-linear look-up lane: registers of breakpoints, slopes and intercepts, comparators, selection,
// slope x input + (intercept << shift), a pipeline register after each of its three steps.
module lut_unit #(parameter BITS = 8, parameter ENTRIES = 8) (
  input clk, input load, input [2:0] load_at,
  input signed [BITS-1:0] load_break, input signed [BITS-1:0] load_slope, input signed [BITS-1:0] load_intercept,
  input [2:0] shift, input signed [BITS-1:0] x,
  output reg signed [2*BITS:0] y
);
  reg signed [BITS-1:0] breaks [0:ENTRIES-2];
  reg signed [BITS-1:0] slopes [0:ENTRIES-1];
  reg signed [BITS-1:0] intercepts [0:ENTRIES-1];
  reg signed [BITS-1:0] rx, sx, slope, intercept;
  reg [2:0] at;
  integer i;
  always @* begin
    at = 0;
    for (i = 0; i < ENTRIES - 1; i = i + 1) if (rx >= breaks[i]) at = i + 1;
  end
  wire signed [2*BITS-1:0] wide = {{BITS{intercept[BITS-1]}}, intercept};
  always @(posedge clk) begin
    if (load) begin
      if (load_at != ENTRIES - 1) breaks[load_at] <= load_break;
      slopes[load_at] <= load_slope;
      intercepts[load_at] <= load_intercept;
    end
    rx <= x;
    sx <= rx;
    slope <= slopes[at];
    intercept <= intercepts[at];
    y <= slope * sx + (wide <<< shift);
  end
endmodule
