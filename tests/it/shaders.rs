//! Rung 0: every WGSL text that is ever launched is valid and within WebGPU's default limits, to naga and to the browser;
//! every shader has its twins.

use limbeck_kernels::testing::shaders;

/// The browser compiles every variant to a pipeline, on a device that has WebGPU's default limits and no more. naga accepts
/// what Chrome refuses, a barrier in control flow that may differ between threads above all.
///
/// In parts: a test that ends is a sign of life for those that watch a slow machine.
#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn the_browser_compiles_every_variant() {
    the_browser_compiles(0).await;
}

#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn the_browser_compiles_every_variant_of_the_second_part() {
    the_browser_compiles(1).await;
}

#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn the_browser_compiles_every_variant_of_the_third_part() {
    the_browser_compiles(2).await;
}

#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn the_browser_compiles_every_variant_of_the_fourth_part() {
    the_browser_compiles(3).await;
}

#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn the_browser_compiles_every_variant_of_the_fifth_part() {
    the_browser_compiles(4).await;
}

#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn the_browser_compiles_every_variant_of_the_sixth_part() {
    the_browser_compiles(5).await;
}

/// Every sixth variant.
#[cfg(target_family = "wasm")]
async fn the_browser_compiles(first: usize) {
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
        // All at once: the browser compiles on as many cores as there are.
        const outcomes = await Promise.all(texts.map(compile));
        device.destroy();
        return outcomes;
    })();";
    let some = shaders().into_iter().skip(first).step_by(6);
    let (names, texts): (Vec<String>, Vec<String>) = some.unzip();
    let list: Array = texts.iter().map(|text| JsValue::from_str(text)).collect();
    let compile = Function::new_with_args("texts", COMPILE);
    let promise = Promise::from(compile.call1(&JsValue::NULL, &list).unwrap());
    let outcomes = wasm_bindgen_futures::JsFuture::from(promise).await.unwrap();
    let outcomes = Array::from(&outcomes);
    assert!(names.len() > 15 && outcomes.length() as usize == names.len());
    for (name, outcome) in names.iter().zip(outcomes.iter()) {
        let outcome = String::from(JsString::from(outcome));
        assert!(outcome.is_empty(), "{name}: {outcome}");
    }
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use std::collections::BTreeMap;

    use limbeck_kernels::testing::cooperative_shaders;
    use naga::back::spv;
    use naga::valid::{Capabilities, ModuleInfo, ShaderStages, ValidationFlags, Validator};
    use naga::{AddressSpace, Module, ShaderStage};

    use crate::layering::root;

    use super::shaders;

    fn parse(name: &str, text: &str, capabilities: Capabilities) -> (Module, ModuleInfo) {
        let module = naga::front::wgsl::parse_str(text)
            .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        let checked = validator
            .subgroup_stages(ShaderStages::COMPUTE)
            .validate(&module);
        let checked = checked.unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
        (module, checked)
    }

    /// Bytes of the variables that a workgroup shares.
    fn shared(module: &Module) -> u32 {
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let variables = module.global_variables.iter();
        let shared = variables.filter(|(_, v)| v.space == AddressSpace::WorkGroup);
        shared.map(|(_, v)| layouter[v.ty].size).sum()
    }

    /// No adapter of the tests has cooperative matrices. So much can be known of their kernel without one: that naga takes it on a device
    /// that has them, and can write it for Vulkan; it panics where an index is an expression.
    #[test]
    fn every_cooperative_variant_is_valid_and_can_be_written() {
        let needed = Capabilities::COOPERATIVE_MATRIX
            | Capabilities::SHADER_FLOAT16
            | Capabilities::SUBGROUP;
        let variants = cooperative_shaders();
        assert_eq!(variants.len(), 3);
        for (name, text) in variants {
            let (module, checked) = parse(&name, &text, needed);
            assert!(shared(&module) <= 16_384, "{name}");
            assert_eq!(module.entry_points[0].workgroup_size, [128, 1, 1]);
            let options = spv::Options {
                lang_version: (1, 4),
                ..spv::Options::default()
            };
            let entry = spv::PipelineOptions {
                shader_stage: ShaderStage::Compute,
                entry_point: "main".into(),
            };
            let written = spv::write_vec(&module, &checked, &options, Some(&entry));
            let words = written.unwrap_or_else(|e| panic!("{name}: {e}"));
            /// OpCooperativeMatrixMulAddKHR.
            const MULTIPLY: u32 = 4459;
            let opcodes = instructions(&words);
            let products = opcodes.filter(|opcode| *opcode == MULTIPLY).count();
            assert_eq!(products, 4, "{name}");
        }
    }

    /// The opcodes of a SPIR-V module: its first five words are a header, and each instruction begins with its length and its opcode.
    fn instructions(words: &[u32]) -> impl Iterator<Item = u32> {
        let mut rest = &words[5..];
        std::iter::from_fn(move || {
            let first = *rest.first()?;
            rest = &rest[(first >> 16) as usize..];
            Some(first & 0xffff)
        })
    }

    #[test]
    fn every_variant_is_valid_within_webgpu_limits() {
        let variants = shaders();
        assert!(!variants.is_empty());
        for (name, text) in variants {
            let (module, _) = parse(&name, &text, Capabilities::empty());
            let count = |space: fn(&AddressSpace) -> bool| {
                module
                    .global_variables
                    .iter()
                    .filter(|(_, v)| space(&v.space))
                    .count()
            };
            let buffers = count(|space| matches!(space, AddressSpace::Storage { .. }));
            assert!(buffers <= 8, "{name}: {buffers} storage buffers");
            let shared = shared(&module);
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
        let passes = files().into_iter().filter(|file| !is_common(file));
        for file in passes {
            let text_of_it = format!("limbeck_shaders::{}", constant(&file));
            assert!(launchers.contains(&text_of_it), "nothing launches {file}");
            check_line(line_of(&text, &file));
        }
    }

    /// `<family>_common.wgsl` is put before every pass of its family, launches nothing by itself, and has a line in the README's
    /// second table, which names these passes.
    #[test]
    fn a_common_text_stands_before_every_pass_of_its_family() {
        let text = read("shaders/README.md");
        let texts: String = read("shaders/lib.rs").split_whitespace().collect();
        let files = files();
        let commons: Vec<&String> = files.iter().filter(|file| is_common(file)).collect();
        assert!(!commons.is_empty());
        for common in commons {
            assert!(!read(&format!("shaders/{common}")).contains("@compute"));
            let line = line_of(&text, common);
            let is_pass = |file: &&String| family(file) == family(common) && !is_common(file);
            let passes: Vec<&String> = files.iter().filter(is_pass).collect();
            assert!(passes.len() > 1, "{common} is shared by nothing");
            for pass in passes {
                let named = format!("include_str!(\"{common}\"),include_str!(\"{pass}\")");
                assert!(texts.contains(&named), "{pass} goes without {common}");
                assert!(line.contains(&format!("`{pass}`")), "{line} lacks {pass}");
            }
        }
    }

    /// Text that two passes share stands once: no two files of a family define one name, but for the entry point.
    #[test]
    fn a_family_defines_nothing_twice() {
        let mut defined: BTreeMap<(String, String), String> = BTreeMap::new();
        for file in files() {
            for line in read(&format!("shaders/{file}")).lines() {
                let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                let (Some("fn" | "const" | "alias"), Some(name)) = (words.next(), words.next())
                else {
                    continue;
                };
                let key = (family(&file).to_owned(), name.to_owned());
                if name != "main"
                    && let Some(before) = defined.insert(key, file.clone())
                {
                    panic!("{before} and {file} both define {name}");
                }
            }
        }
        assert!(defined.len() > 30);
    }

    /// The names of all shaders.
    fn files() -> Vec<String> {
        let entries = std::fs::read_dir(root().join("shaders")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let shaders: Vec<String> = names.filter(|name| name.ends_with(".wgsl")).collect();
        assert!(shaders.len() > 2);
        shaders
    }

    fn is_common(file: &str) -> bool {
        file.ends_with("_common.wgsl")
    }

    /// `RELATION_FORWARD` of `relation_forward.wgsl`.
    fn constant(file: &str) -> String {
        file.trim_end_matches(".wgsl").to_uppercase()
    }

    /// `relation` of `relation_forward.wgsl`.
    fn family(file: &str) -> &str {
        file.split_once('_').unwrap().0
    }

    /// The line that a table of the README has for a file.
    fn line_of<'a>(readme: &'a str, file: &str) -> &'a str {
        let mut lines = readme.lines();
        lines
            .find(|line| line.starts_with(&format!("| `{file}` |")))
            .unwrap_or_else(|| panic!("{file} has no line in shaders/README.md"))
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
