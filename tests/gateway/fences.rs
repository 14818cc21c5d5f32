//! The fenced blocks of a page in Markdown.

/// One block between fences.
pub struct Fence {
    /// The word behind the opening fence.
    pub language: String,
    /// The line of the page on which the text begins, from 1.
    pub line: usize,
    /// What is between the fences, moved to the left as far as the opening fence stands in.
    pub text: String,
}

/// The fenced blocks of a page, in their order.
pub fn fences(page: &str) -> Vec<Fence> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut open: Option<usize> = None;
    for (number, line) in page.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (open, line.trim_start().strip_prefix("```")) {
            (Some(_), Some(_)) => open = None,
            (None, Some(language)) => {
                open = Some(indent);
                fences.push(Fence {
                    language: language.trim().to_owned(),
                    line: number + 2,
                    text: String::new(),
                });
            }
            (Some(by), None) => {
                let fence = fences.last_mut().expect("one is open");
                fence.text.push_str(line.get(by..).unwrap_or(""));
                fence.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    fences
}
