//! Returns its arguments: the function that tests the typed client, on a real cluster.
//!
//! Promises a function for each kind of type that Aspen has values for; it touches no keys.

aspen_guest::function!({ world: "echo", path: "wit" });

struct Echo;

impl Guest for Echo {
    fn numbers(numbers: Numbers) -> Numbers {
        numbers
    }

    fn others(others: Others) -> Others {
        others
    }

    fn colors(color: Color, mut others: Vec<Color>) -> Vec<Color> {
        others.push(color);
        others
    }

    fn rights(rights: Rights) -> Rights {
        rights
    }

    fn figure(figure: Figure) -> Figure {
        figure
    }

    fn points(points: Vec<Point>) -> Vec<Point> {
        points
    }

    fn keywords(type_: Keywords, self_: Choice) -> (Keywords, Choice) {
        (type_, self_)
    }

    fn nested(deep: Deep) -> Deep {
        deep
    }

    fn tuples(one: (u8,), two: (i8, (String, bool))) -> ((u8,), (i8, (String, bool))) {
        (one, two)
    }

    fn results(
        items: Vec<Result<Cents, Result<(), ()>>>,
        bare: Result<(), String>,
        ok: Result<u8, ()>,
    ) -> (Vec<Result<Cents, Result<(), ()>>>, Result<(), String>, Result<u8, ()>) {
        (items, bare, ok)
    }

    fn optional(
        text: Option<String>,
        bytes: Option<Vec<u8>>,
        call: Vec<String>,
    ) -> (Option<String>, Option<Vec<u8>>, Vec<String>) {
        (text, bytes, call)
    }

    fn raw(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn check(cents: Cents, problem: Option<Problem>) -> Result<Cents, Problem> {
        problem.map_or(Ok(cents), Err)
    }

    fn bare(good: bool) -> Result<(), ()> {
        if good { Ok(()) } else { Err(()) }
    }

    #[expect(clippy::panic, reason = "a test asks for a panic")]
    fn panic() {
        panic!("as asked");
    }
}

type Deep = Option<Option<Vec<Option<String>>>>;

aspen_guest::export!(Echo);
