//! Rung 0: every WGSL text that is ever launched is valid and within WebGPU's default limits; every shader has its twins.

use burn_cubecl::template::KernelSource;
use limbeck_kernels::RelationSpec;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module};

use crate::layering::root;

fn rendered() -> Vec<(String, String)> {
    RelationSpec::all()
        .into_iter()
        .map(|spec| (format!("{spec:?}"), spec.source().complete()))
        .collect()
}

fn parse(name: &str, text: &str) -> Module {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
    let checked = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
    checked.unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
    module
}

#[test]
fn every_variant_is_valid_within_webgpu_limits() {
    let variants = rendered();
    assert!(!variants.is_empty());
    for (name, text) in variants {
        let module = parse(&name, &text);
        let count = |space: fn(&AddressSpace) -> bool| {
            module
                .global_variables
                .iter()
                .filter(|(_, v)| space(&v.space))
                .count()
        };
        let buffers = count(|space| matches!(space, AddressSpace::Storage { .. }));
        assert!(buffers <= 8, "{name}: {buffers} storage buffers");
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let shared: u32 = module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
            .map(|(_, v)| layouter[v.ty].size)
            .sum();
        assert!(
            shared <= 16_384,
            "{name}: {shared} bytes of workgroup memory"
        );
        let entry = &module.entry_points[0];
        let invocations: u32 = entry.workgroup_size.iter().product();
        assert!(
            (1..=256).contains(&invocations),
            "{name}: {invocations} invocations"
        );
        assert_eq!(entry.name, "main");
    }
}

/// `<family>_<pass>.wgsl` is `oracle::<family>::<pass>`, a launcher in the kernels, a case in the tests, a line in the README.
#[test]
fn every_shader_has_a_twin_a_launcher_and_a_case() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("shaders")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(stem) = file.strip_suffix(".wgsl") else {
            continue;
        };
        seen += 1;
        let (family, pass) = stem
            .split_once('_')
            .expect("shaders are named <family>_<pass>.wgsl");
        for (what, place, needle) in [
            (
                "twin",
                format!("crates/limbeck-oracle/src/{family}.rs"),
                format!("pub fn {pass}("),
            ),
            (
                "launcher",
                format!("crates/limbeck-kernels/src/{pass}.rs"),
                file.clone(),
            ),
            (
                "case",
                "tests/it/kernels.rs".to_owned(),
                format!("{family}_{pass}("),
            ),
            ("line", "shaders/README.md".to_owned(), file.clone()),
        ] {
            assert!(
                read(&place).contains(&needle),
                "{file} has no {what}: `{needle}` is not in {place}"
            );
        }
    }
    assert!(seen >= 1);
}
