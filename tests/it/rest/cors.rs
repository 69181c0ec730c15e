//! Which pages of other origins browsers let call the server.

use reqwest::Method;
use serde_json::json;

use crate::support::rest::{Answer, send};
use crate::support::{Server, scratch_with_cluster};

const ALLOWED: [&str; 2] = ["https://app.example.com", "http://localhost:5173"];

async fn ask(server: &Server, method: Method, path: &str, origin: &str) -> Answer {
    let request = reqwest::Client::new().request(method, format!("{}{path}", server.base()));
    let request = request.header("origin", origin).bearer_auth(server.token());
    send(
        request
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,content-type"),
    )
    .await
}

/// A refresh by a cookie that a page of this origin asks for.
async fn by_cookie(server: &Server, origin: &str) -> Answer {
    let request = reqwest::Client::new().post(format!("{}/v1/sessions/refresh", server.base()));
    let request = request.header("origin", origin).header("x-blotter-csrf", "1");
    let cookie = format!("__Host-blotter_refresh=blr_{}", "A".repeat(43));
    send(request.header("cookie", cookie).json(&json!({}))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_is_allowed_as_a_whole_or_not_at_all() {
    let directory = scratch_with_cluster("cors").await;
    let origins = ["--allow-origin", ALLOWED[0], "--allow-origin", ALLOWED[1]];
    let server = Server::serve_with(directory.path(), &origins).await;
    for origin in ALLOWED {
        // It has passed the gate for cookies: nobody has this one.
        assert_eq!(by_cookie(&server, origin).await.expect(401)["code"], "session_over");
        for (method, path, status) in [
            (Method::GET, "/v1/accounts", 200),
            (Method::GET, "/v1/nowhere", 404),
            (Method::OPTIONS, "/v1/accounts", 200),
        ] {
            let answer = ask(&server, method.clone(), path, origin).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path} {answer:?}");
            assert_eq!(answer.headers["access-control-allow-origin"], origin, "{method} {path}");
            assert_eq!(answer.headers["access-control-allow-credentials"], "true");
            assert!(answer.headers["vary"].to_str().unwrap().contains("origin"));
            if method == Method::OPTIONS {
                let methods = answer.headers["access-control-allow-methods"].to_str().unwrap();
                assert!(methods.contains("PATCH") && !methods.contains('*'), "{methods}");
                let headers = answer.headers["access-control-allow-headers"].to_str().unwrap();
                assert!(headers.contains("authorization") && !headers.contains('*'), "{headers}");
            }
        }
    }
    for origin in [
        "https://evil.example",
        "null",
        "http://app.example.com",
        "https://app.example.com.evil.example",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "https://example.com",
        "http://localhost",
    ] {
        assert_eq!(by_cookie(&server, origin).await.expect(403)["code"], "cross_site", "{origin}");
        for method in [Method::GET, Method::OPTIONS] {
            let answer = ask(&server, method.clone(), "/v1/accounts", origin).await;
            let allowed = answer.headers.get("access-control-allow-origin");
            assert_eq!(allowed, None, "{method} {origin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_names_no_origin_lets_no_page_in() {
    let directory = scratch_with_cluster("cors-none").await;
    let server = Server::serve(directory.path()).await;
    for method in [Method::GET, Method::OPTIONS] {
        let answer = ask(&server, method, "/v1/accounts", ALLOWED[0]).await;
        for header in answer.headers.keys() {
            assert!(!header.as_str().starts_with("access-control"), "{header}");
        }
    }
}
