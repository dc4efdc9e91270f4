"""Opens a student with a pruned vocabulary in transformers, and holds its tokens beside those of `limbeck encode` and the teacher's.

By hand: python check_vocabulary.py --limbeck target/release/limbeck --teacher DIR --student DIR --lines FILE [--most 10000] [--max-length 128]
Needs:   tests/golden/requirements.txt

Prints one JSON object:
  tokens       tokens of the teacher, and of the student
  rows         rows of the student's table of words, which must be as many
  lines        lines that were read
  different    lines of which limbeck and AutoTokenizer make other ids (0)
  same         lines whose tokens are the teacher's
  changed      lines that have all of the teacher's tokens among the student's, and other tokens (0)
  unknown      unknown tokens of the teacher, and of the student
  per_line     tokens of a line on average, of the teacher and of the student

Exit code 1 if a number that must be 0, or rows, is not as it must be.
"""

import argparse
import json
import subprocess
import sys
import threading

import transformers
from transformers import AutoModel, AutoTokenizer


def main():
    transformers.logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("limbeck", "teacher", "student", "lines"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--max-length", type=int, default=128)
    options = parser.parse_args()
    with open(options.lines, encoding="utf-8") as file:
        lines = [line for line in file.read().split("\n") if line.strip()][: options.most]
    teacher, student = (AutoTokenizer.from_pretrained(folder) for folder in (options.teacher, options.student))
    limit = options.max_length
    # A line that is cut within a word has other pieces of it before the end than it seems.
    own, whole = (t(lines)["input_ids"] for t in (student, teacher))
    cut = student(lines, truncation=True, max_length=limit)["input_ids"]
    kept = [teacher.convert_tokens_to_ids(student.convert_ids_to_tokens(id)) for id in range(len(student))]
    report = {
        "tokens": [len(teacher), len(student)],
        "rows": AutoModel.from_pretrained(options.student).get_input_embeddings().weight.shape[0],
        "lines": len(lines),
        "different": sum(a != b for a, b in zip(cut, encoded(options, lines, limit))),
        "same": 0,
        "changed": 0,
        "unknown": [sum(ids.count(t.unk_token_id) for ids in all_ids) for t, all_ids in ((teacher, whole), (student, own))],
        "per_line": [round(sum(map(len, ids)) / len(lines), 2) for ids in (whole, own)],
    }
    there = set(kept) - {teacher.unk_token_id}
    for ids, theirs in zip(own, whole):
        same = [kept[id] for id in ids] == theirs
        report["same"] += same
        report["changed"] += not same and there.issuperset(theirs)
    print(json.dumps(report))
    sound = report["rows"] == len(student) == len(set(kept)) and report["different"] == report["changed"] == 0
    sys.exit(0 if sound else 1)


def encoded(options, lines, limit):
    """The ids that limbeck makes, a line each."""
    command = [options.limbeck, "encode", "--model", options.student, "--tokens", "--layer", "0", "--device", "cpu"]
    command += ["--max-length", str(limit)]
    text = "".join(line + "\n" for line in lines)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as program:
        threading.Thread(target=lambda: (program.stdin.write(text), program.stdin.close())).start()
        return [json.loads(line)["ids"] for line in program.stdout]


if __name__ == "__main__":
    main()
