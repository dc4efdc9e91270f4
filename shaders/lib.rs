//! The WGSL of limbeck's kernels, one text a pass: what its family shares stands before it. [README.md](https://docs.rs/crate/limbeck-shaders/latest/source/README.md)
//! of this crate defines the symbols, derives each kernel and has the rules.
//!
//! A text is a template: `{{name}}` stands for a number, which `limbeck-kernels` puts in. It launches these shaders through
//! burn; bindings and the words of `info` are described at the top of each file.
#![no_std]

/// Tensors side by side in one buffer.
pub const ADAMW_GATHER: &str = concat!(
    include_str!("adamw_common.wgsl"),
    include_str!("adamw_gather.wgsl")
);
/// An AdamW update of all parameters of a buffer.
pub const ADAMW_UPDATE: &str = concat!(
    include_str!("adamw_common.wgsl"),
    include_str!("adamw_update.wgsl")
);
/// Gradients of attention: of queries and bias, or of keys and values.
pub const ATTENTION_BACKWARD: &str = concat!(
    include_str!("attention_common.wgsl"),
    include_str!("attention_backward.wgsl")
);
/// Attention of each row, and the row's statistics.
pub const ATTENTION_FORWARD: &str = concat!(
    include_str!("attention_common.wgsl"),
    include_str!("attention_forward.wgsl")
);
/// The gradients of tables.
pub const EMBEDDING_BACKWARD: &str = include_str!("embedding_backward.wgsl");
/// Rows of one table to three, summed.
pub const EMBEDDING_FORWARD: &str = include_str!("embedding_forward.wgsl");
/// The gradient of GELU.
pub const GELU_BACKWARD: &str = concat!(
    include_str!("gelu_common.wgsl"),
    include_str!("gelu_backward.wgsl")
);
/// Exact GELU of x + bias.
pub const GELU_FORWARD: &str = concat!(
    include_str!("gelu_common.wgsl"),
    include_str!("gelu_forward.wgsl")
);
/// Gradients of LayerNorm of a sum.
pub const LAYER_NORM_BACKWARD: &str = concat!(
    include_str!("layer_norm_common.wgsl"),
    include_str!("layer_norm_backward.wgsl")
);
/// LayerNorm of x + residual, and the statistics of each row.
pub const LAYER_NORM_FORWARD: &str = concat!(
    include_str!("layer_norm_common.wgsl"),
    include_str!("layer_norm_forward.wgsl")
);
/// A B + bias or GELU of it, of factors rounded to 16 bits, of one B or three, on cooperative matrices. Browsers have none, so for them the
/// text is empty.
pub const MATMUL_MATRICES: &str = if cfg!(target_family = "wasm") {
    ""
} else {
    concat!(
        "enable f16;\nenable wgpu_cooperative_matrix;\n",
        include_str!("gelu_common.wgsl"),
        include_str!("matmul_common.wgsl"),
        include_str!("matmul_matrices.wgsl")
    )
};
/// A B + bias, GELU of it or times its slope, of one B or three, or a sum of three: a tile of the output a thread.
pub const MATMUL_THREADS: &str = concat!(
    include_str!("gelu_common.wgsl"),
    include_str!("matmul_common.wgsl"),
    include_str!("matmul_threads.wgsl")
);
/// The same, a tile of the output a workgroup.
pub const MATMUL_TILES: &str = concat!(
    include_str!("gelu_common.wgsl"),
    include_str!("matmul_common.wgsl"),
    include_str!("matmul_tiles.wgsl")
);
/// The mean of each sequence, or of all, of a loss per row.
pub const MEAN_ROWS: &str = include_str!("mean_rows.wgsl");
/// The gradient of the relation loss: of rows, of columns, or of both.
pub const RELATION_BACKWARD: &str = concat!(
    include_str!("relation_common.wgsl"),
    include_str!("relation_backward.wgsl")
);
/// KL of each row of relations, and the statistics of its two softmaxes.
pub const RELATION_FORWARD: &str = concat!(
    include_str!("relation_common.wgsl"),
    include_str!("relation_forward.wgsl")
);
/// Queries or keys turned by their positions, or back.
pub const ROTARY_TURN: &str = include_str!("rotary_turn.wgsl");
/// What [`MATMUL_MATRICES`], [`MATMUL_THREADS`] or [`MATMUL_TILES`] ends with in mixed precision: factors rounded to 16 bits.
pub const ROUNDED_FACTOR: &str = include_str!("rounded_factor.wgsl");
/// Sums of rows.
pub const SUM_ROWS: &str = include_str!("sum_rows.wgsl");
/// Sums of squares, a workgroup each.
pub const SUM_SQUARES: &str = include_str!("sum_squares.wgsl");
/// What [`MATMUL_THREADS`] or [`MATMUL_TILES`] ends with in f32: factors as they are.
pub const WHOLE_FACTOR: &str =
    "\nfn factor(block: mat4x4<f32>) -> mat4x4<f32> {\n    return block;\n}\n";
