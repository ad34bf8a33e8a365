// pointer = (pointer + batch) mod entries; a dispatch of its own, since queue_insert reads the pointer in every invocation.
struct Params { entries: u32, batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> pointer: array<u32>;

@compute @workgroup_size(1)
fn queue_advance() {
  pointer[0] = (pointer[0] + params.batch) % params.entries;
}
