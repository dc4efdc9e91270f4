// What adamw_gather.wgsl and adamw_update.wgsl share, put before either (README.md: rules for a shader): which tensor a block
// belongs to. A block is 1,024 numbers, one workgroup's; a tensor begins with a block and is padded with zeros to whole blocks.
//
// A pass declares `info`, which ends with a table, a line for each tensor: [0] its first block, then what the pass needs.

const HEAD: u32 = {{head}}u;    // where the table begins
const WORDS: u32 = {{words}}u;  // of a line

// The line of a block: the last of `lines` that begins at or before it.
fn line_of(block: u32, lines: u32) -> u32 {
    var low = 0u;
    var high = lines;
    while (high - low > 1u) {
        let middle = (low + high) / 2u;
        if (info[HEAD + middle * WORDS] <= block) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return HEAD + low * WORDS;
}
