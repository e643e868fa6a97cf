//! temporary
fn main() {
    let plan: flowline_model::Plan = serde_json::from_str(&std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap()).unwrap();
    let rt = tokio::runtime::Runtime::new().unwrap();
    for p in rt.block_on(flowline_process::check(&plan)) { println!("{p}"); }
    println!("done");
}
