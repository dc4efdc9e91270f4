//! Rung 0: every WGSL text that is ever launched is valid and within WebGPU's default limits, to naga and to the browser;
//! every shader has its twins.

use limbeck_kernels::testing::shaders;

/// The browser compiles every variant to a pipeline, on a device that has WebGPU's default limits and no more. naga accepts
/// what Chrome refuses, a barrier in control flow that may differ between threads above all.
#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn the_browser_compiles_every_variant() {
    use js_sys::{Array, Function, JsString, Promise};
    use wasm_bindgen::JsValue;

    const COMPILE: &str = "return (async () => {
        const adapter = await navigator.gpu.requestAdapter();
        const device = await adapter.requestDevice();
        const compile = async (code) => {
            const module = device.createShaderModule({ code });
            const { messages } = await module.getCompilationInfo();
            const errors = messages.filter((m) => m.type === 'error').map((m) => `line ${m.lineNum}: ${m.message}`);
            if (errors.length > 0) return errors.join('; ');
            const compute = { module, entryPoint: 'main' };
            return device.createComputePipelineAsync({ layout: 'auto', compute }).then(() => '', (e) => e.message);
        };
        const outcomes = [];
        for (const text of texts) outcomes.push(await compile(text));
        device.destroy();
        return outcomes;
    })();";
    let (names, texts): (Vec<String>, Vec<String>) = shaders().into_iter().unzip();
    let list: Array = texts.iter().map(|text| JsValue::from_str(text)).collect();
    let compile = Function::new_with_args("texts", COMPILE);
    let promise = Promise::from(compile.call1(&JsValue::NULL, &list).unwrap());
    let outcomes = wasm_bindgen_futures::JsFuture::from(promise).await.unwrap();
    let outcomes = Array::from(&outcomes);
    assert!(names.len() > 50 && outcomes.length() as usize == names.len());
    for (name, outcome) in names.iter().zip(outcomes.iter()) {
        let outcome = String::from(JsString::from(outcome));
        assert!(outcome.is_empty(), "{name}: {outcome}");
    }
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    use naga::{AddressSpace, Module};

    use crate::layering::root;

    use super::shaders;

    fn parse(name: &str, text: &str) -> Module {
        let module = naga::front::wgsl::parse_str(text)
            .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
        let checked =
            Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        checked.unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
        module
    }

    #[test]
    fn every_variant_is_valid_within_webgpu_limits() {
        let variants = shaders();
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

    /// Every shader is launched by the kernels and has a line in the README's table, and all that the line names exists: the twin
    /// in the oracle, the public function that launches it, the tests that judge it.
    #[test]
    fn every_shader_has_a_twin_a_launcher_and_a_case() {
        let text = read("shaders/README.md");
        let launchers = sources("crates/limbeck-kernels/src");
        let mut seen = 0;
        for entry in std::fs::read_dir(root().join("shaders")).unwrap() {
            let file = entry.unwrap().file_name().to_string_lossy().into_owned();
            if !file.ends_with(".wgsl") {
                continue;
            }
            seen += 1;
            assert!(
                launchers.contains(&format!("shaders/{file}\")")),
                "nothing launches {file}"
            );
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("| `{file}` |")))
                .unwrap_or_else(|| panic!("{file} has no line in shaders/README.md"));
            check_line(line);
        }
        assert!(seen >= 2);
    }

    /// `| file | computes | limbeck_oracle::a::b | limbeck_kernels::c | file.rs: test, test |`
    fn check_line(line: &str) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, _, _, twin, launcher, judges, _] = cells[..] else {
            panic!("not five columns: {line}")
        };
        let names = |cell: &str| -> Vec<String> {
            let parts = cell.split('`').skip(1).step_by(2);
            parts.map(str::to_owned).collect()
        };
        let [twin] = &names(twin)[..] else {
            panic!("not one twin: {line}")
        };
        let path: Vec<&str> = twin.split("::").collect();
        let oracle = read(&format!("crates/limbeck-oracle/src/{}.rs", path[1]));
        assert!(oracle.contains(&format!("pub fn {}(", path[2])), "{twin}");
        let [launcher] = &names(launcher)[..] else {
            panic!("not one launcher: {line}")
        };
        let function = launcher.rsplit("::").next().unwrap();
        let kernels = sources("crates/limbeck-kernels/src");
        assert!(
            kernels.contains(&format!("pub fn {function}")),
            "{launcher}"
        );
        let judges = names(judges);
        let tests = read(&format!("tests/it/{}", judges[0]));
        assert!(judges.len() > 1, "no test is named: {line}");
        for judge in &judges[1..] {
            assert!(tests.contains(&format!("fn {judge}(")), "{judge}");
        }
    }

    fn read(path: &str) -> String {
        std::fs::read_to_string(root().join(path)).unwrap()
    }

    /// All Rust files under a folder, one after the other.
    fn sources(folder: &str) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let within = path.strip_prefix(root()).unwrap().to_string_lossy();
            all += &match path.is_dir() {
                true => sources(&within),
                false => read(&within),
            };
        }
        all
    }
}
