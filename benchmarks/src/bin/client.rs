use std::time::Duration;
use flagstaff_benchmarks::{alone, upstream};
use launchdarkly_server_sdk as ld;

fn main() {
    let url = upstream::start(upstream::put_of(1000));
    println!("{}", upstream::put_of(10000).len());
    let config = ld::ConfigBuilder::new("sdk-bench")
        .service_endpoints(ld::ServiceEndpointsBuilder::new().relay_proxy(&url))
        .event_processor(&ld::NullEventProcessorBuilder::new())
        .build()
        .unwrap();
    let client = ld::Client::build(config).unwrap();
    client.start_with_runtime().unwrap();
    let rt = tokio::runtime::Runtime::new().unwrap();
    println!("{:?}", rt.block_on(client.wait_for_initialization(Duration::from_secs(10))));
    let context = ld::ContextBuilder::new("aa0ceb").build().unwrap();
    println!("{}", client.bool_variation(&context, "flag", false));
    println!("{}", alone(|| client.bool_variation(&context, "flag", false)));
}
