// A signed multiply-accumulate: both operands registered, and the accumulator. The product is written out after Baugh and
// Wooley, so that partial products need no sign extension.
module mac #(parameter BITS = 8, parameter ACC = 32) (
  input clk, input clear,
  input [BITS-1:0] a, input [BITS-1:0] b,
  output reg [ACC-1:0] acc
);
  reg [BITS-1:0] ra, rb, row;
  reg [2*BITS-1:0] product;
  integer i, j;
  always @* begin
    product = (1 << BITS) + (1 << (2*BITS-1));
    for (j = 0; j < BITS; j = j + 1) begin
      for (i = 0; i < BITS; i = i + 1) row[i] = (ra[i] & rb[j]) ^ ((i == BITS-1) != (j == BITS-1));
      product = product + (row << j);
    end
  end
  always @(posedge clk) begin
    ra <= a;
    rb <= b;
    acc <= (clear ? 0 : acc) + {{(ACC-2*BITS){product[2*BITS-1]}}, product};
  end
endmodule
