//! A gateway with all filters that come with Wiregate, and three more.

use hello_filter::api_version::ApiVersion;
use hello_filter::daily_quota::DailyQuota;
use hello_filter::redact::Redact;

fn main() -> std::process::ExitCode {
    wiregate::run(
        wiregate::filters::all()
            .add::<ApiVersion>()
            .add::<DailyQuota>()
            .add::<Redact>(),
    )
}
