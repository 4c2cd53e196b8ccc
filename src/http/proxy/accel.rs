//! Answers that are not for the client: those that lead elsewhere by `X-Accel-Redirect`, and those that an error page stands for.

use super::answer;
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::handlers;
use crate::http::response::{Field, Response};
use crate::http::variables::Values;

/// Fields of an answer with `X-Accel-Redirect` that go to the client with what is found there, as in nginx.
const KEPT: [&str; 5] = ["set-cookie", "content-disposition", "cache-control", "expires", "content-type"];

impl Session {
    /// An error page may stand for the answer of a server whose head is there; the server is left then.
    pub(super) fn intercepted(&mut self, cx: &mut Context) -> Option<Step> {
        let request = self.request.as_ref()?;
        let exchange = request.exchange.as_ref()?;
        let status = exchange.head.as_ref()?.status;
        let has_page = |status| request.location.error_pages.iter().any(|page| page.covers(status));
        let stands = exchange.settings.answers.intercept_errors && status >= 300 && has_page(status);
        stands.then(|| self.intercept(cx, status))
    }

    /// The answer whose head is there, be it a kept one, may be another's to give; the server is left then.
    pub(in crate::http) fn lead_elsewhere(&mut self, cx: &mut Context) -> Option<Step> {
        let exchange = self.request.as_ref()?.exchange.as_ref()?;
        let (head, rules) = (exchange.head.as_ref()?, &exchange.settings.answers);
        let target = head.all("x-accel-redirect").next().filter(|_| !rules.ignored.redirect)?.to_vec();
        Some(self.redirect_within(cx, &target))
    }

    fn intercept(&mut self, cx: &mut Context, status: u16) -> Step {
        self.leave_upstream(cx, false);
        self.remember_failure(status);
        let Some(request) = &self.request else { return Step::Over };
        let head = request.exchange.as_ref().and_then(|exchange| exchange.head.as_ref());
        // What a client must know to ask again.
        let challenge = head.iter().filter(|_| status == 401).flat_map(|head| head.all("www-authenticate"));
        let fields = challenge.map(|value| ("WWW-Authenticate".into(), value.to_vec())).collect();
        let tokens = request.location.server_tokens;
        self.answer_late(cx, Response { fields, ..Response::page(status, tokens) })
    }

    fn redirect_within(&mut self, cx: &mut Context, target: &[u8]) -> Step {
        self.leave_upstream(cx, false);
        let kept =
            match self.changed_fields(cx, |name| KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))) {
                Ok(kept) => kept,
                Err(step) => return step,
            };
        let Some(request) = &mut self.request else { return Step::Over };
        for (name, value) in kept {
            match name.eq_ignore_ascii_case("content-type") {
                true => request.kept_type = Some(value),
                false => request.kept.push((name, value)),
            }
        }
        let answer = handlers::lead_to(cx, &self.client, request, target);
        self.answer(cx, answer)
    }

    /// The fields of the server's answer that `wanted` names, as the client gets them.
    fn changed_fields(&mut self, cx: &mut Context, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Field>, Step> {
        let Some(request) = &self.request else { return Err(Step::Over) };
        let values = Values { client: &self.client, request, now: cx.reactor.now() };
        answer::fields(&values, wanted).map_err(|failed| self.undecided(cx, &failed))
    }
}
