"""Recipe files: what they may say, and every problem of a bad one at once, with its line."""

from dataclasses import replace

import pytest

from slmcheck import recipes
from slmcheck.errors import RecipeError, UnknownPluginError
from slmcheck.records import SlicePredicate


def problems(path):
    with pytest.raises(RecipeError) as caught:
        recipes.load(path)
    assert caught.value.exit_status == 2
    return [line.replace(str(path), "lora.yaml") for line in str(caught.value).splitlines()]


def test_a_recipe_has_its_name_path_and_defaults(write_recipe, tmp_path):
    recipe = recipes.load(write_recipe())
    assert recipe.name == f"{tmp_path.name}/lora"
    assert recipe.directory == tmp_path
    assert (recipe.data.train, recipe.data.validation, recipe.seed) == (("train.jsonl",), 0.15, 0)


def test_a_recipe_may_be_named_otherwise(write_recipe):
    assert recipes.load(write_recipe(), name="suite/one").name == "suite/one"


def test_every_field_of_the_documented_example_is_read(write_recipe):
    recipe = recipes.load(
        write_recipe(
            '  validation: [a.jsonl, "b.jsonl[:10%]"]\n'
            "  loss_on: all\n"
            "  max_length: 256\n"
            "  group: source\n"
            "  slices:\n"
            "    short: {field: phrase, max_words: 5}\n"
            "    complaints: {field: source, in: [complaint, 3]}\n"
            "learning_rate: 1.0e-4\n"
            "lr_scheduler_type: linear\n"
            "num_train_epochs: 3\n"
            "early_stopping_patience: 2\n"
            "labels: [yes, 2, calm]\n"
            "class_weights: {calm: 2}\n"
            "evaluation: {normalization: mean_bytes, stop: END}\n"
            "options: {r: 8, target_modules: [q_proj, v_proj]}\n"
        )
    )
    assert recipe.data.validation == ("a.jsonl", "b.jsonl[:10%]")
    assert recipe.data.slices["complaints"] == SlicePredicate(field="source", is_in=("complaint", 3))
    assert recipe.labels == ("yes", "2", "calm")
    assert (recipe.learning_rate, recipe.num_train_epochs, recipe.class_weights) == (1e-4, 3.0, {"calm": 2.0})
    assert (recipe.evaluation.normalization, recipe.evaluation.stop) == ("mean_bytes", ("END",))
    assert recipe.options == {"r": 8, "target_modules": ["q_proj", "v_proj"]}


TOML = """
base_model = "./base"
trainer = "lora"
task = "classification"
learning_rate = 1e-4
[data]
train = "train.jsonl"
test = "test.jsonl"
text_template = "Phrase: {phrase}\\nTone: {tone}"
answer = "tone"
[options]
r = 8
"""
JSON = """
{"base_model": "./base", "trainer": "lora", "task": "classification", "learning_rate": 1e-4,
 "data": {"train": "train.jsonl", "test": "test.jsonl",
          "text_template": "Phrase: {phrase}\\nTone: {tone}", "answer": "tone"},
 "options": {"r": 8}}
"""


def test_yaml_toml_and_json_say_the_same(write_recipe):
    yaml = recipes.load(write_recipe("learning_rate: 1.0e-4\noptions: {r: 8}\n"), name="a")
    toml = recipes.load(write_recipe(text=TOML, name="lora.toml"), name="a")
    json = recipes.load(write_recipe(text=JSON, name="lora.json"), name="a")
    assert yaml.data == toml.data == json.data
    assert yaml.options == toml.options == json.options
    assert yaml.learning_rate == toml.learning_rate == json.learning_rate == 1e-4


def test_all_problems_are_listed_at_once_in_the_order_of_the_file(write_recipe):
    path = write_recipe(
        text=(
            "base_model: ./nowhere\n"
            "trainer: lroa\n"
            "task: clasification\n"
            "data:\n"
            "  train: train.jsonl\n"
            '  text_template: "Phrase: {phrase}\\nTone: {tone"\n'
            "  answer: tone\n"
            "learning_rat: 1e-4\n"
            "learning_rate: 1e-6\n"
            "num_train_epochs: 3\n"
            "max_steps: 10\n"
            "seeds: 0\n"
        )
    )
    assert [line.split(": ", 1)[0] for line in problems(path)[1:]] == [
        f"lora.yaml:{line}" for line in (1, 2, 3, 6, 8, 9, 11, 12)
    ]
    assert problems(path)[0] == "lora.yaml has 8 problems."


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("learning_rat: 1.0e-4\n", "lora.yaml:9: unknown field 'learning_rat'; did you mean 'learning_rate'?"),
        ("lr: 1.0e-4\n", "lora.yaml:9: unknown field 'lr'; did you mean 'learning_rate'?"),
        ("max_length: 12\n", "lora.yaml:9: unknown field 'max_length'; 'max_length' belongs under 'data'."),
        ("  seed: 1\n", "lora.yaml:9: unknown field 'data.seed'; 'seed' belongs at the top of the recipe."),
        ("options: {rr: 8}\n", "lora.yaml:9: unknown field 'options.rr'; did you mean 'r'?"),
        ("options: {r: many}\n", "lora.yaml:9: options.r is 'many'; expected a whole number."),
        ("learning_rate: 1e-6\n", "lora.yaml:9: learning_rate is text, '1e-6': YAML 1.1 reads it so; write 1.0e-6."),
        ('learning_rate: "0.1"\n', "lora.yaml:9: learning_rate is text, '0.1': write it without quotes."),
        ("learning_rate: .inf\n", "lora.yaml:9: learning_rate is inf; expected a number."),
        ("seed: one\n", "lora.yaml:9: seed is 'one'; expected a whole number."),
        ("seed: 1.5\n", "lora.yaml:9: seed is 1.5; expected a whole number."),
        ("seed: true\n", "lora.yaml:9: seed is true; expected a whole number."),
        ("bf16: 1\n", "lora.yaml:9: bf16 is 1; expected true or false."),
        ("evaluation: 3\n", "lora.yaml:9: evaluation is 3; expected a mapping of fields."),
        ("class_weights: [1]\n", "lora.yaml:9: class_weights is a list; expected a mapping."),
        ("report_to: [a]\n", "lora.yaml:9: report_to is a list; expected text."),
        ("seed: 1\nseed: 2\n", "lora.yaml:10: 'seed' appears twice (first in line 9)."),
        ("  slices: {a: {max_words: 3}}\n", "lora.yaml:9: data.slices.a.field is missing."),
        (
            "  slices: {a: {field: x, words: 3}}\n",
            "lora.yaml:9: unknown field 'data.slices.a.words'; did you mean 'min_words'?",
        ),
        (
            "  loss_on: answers\n",
            "lora.yaml:9: data.loss_on is 'answers'; expected one of answer, last_turn, all_turns, all",
        ),
        (
            "  chat_template: ./none.jinja\n",
            "lora.yaml:9: data.chat_template is './none.jinja', neither Jinja text nor a",
        ),
    ],
)
def test_a_problem_names_file_line_field_and_what_to_write(write_recipe, more, problem):
    assert problems(write_recipe(more))[0].startswith(problem)


def test_a_length_beyond_the_context_of_the_base_model_is_a_problem(write_recipe):
    recipe = recipes.load(write_recipe("  max_length: 600\n"))
    with pytest.raises(RecipeError, match=r"data.max_length is 600; the base model reads at most 512 tokens"):
        recipes.check(recipe)


def test_an_unknown_trainer_is_named_with_the_installed_ones(write_recipe):
    text = write_recipe().read_text().replace("lora", "lroa")
    (line,) = problems(write_recipe(text=text))
    assert line.startswith("lora.yaml:2: Unknown trainer 'lroa'. Installed trainers: ")
    assert line.endswith("Did you mean 'lora'?")


def test_a_problem_of_a_toml_file_has_its_line(write_recipe):
    path = write_recipe(text=TOML.replace("r = 8", "rr = 8"), name="lora.toml")
    assert problems(path) == ["lora.yaml:12: unknown field 'options.rr'; did you mean 'r'?"]


def test_a_problem_of_a_json_file_has_its_line(write_recipe):
    path = write_recipe(text=JSON.replace('"answer": "tone"', '"answer": "mood"'), name="lora.json")
    assert problems(path)[0].startswith("lora.yaml:4: data.answer is 'mood', which text_template does not name")


def test_a_finished_run_is_judged_without_its_base_model(write_recipe):
    text = write_recipe().read_text().replace("./base", "./elsewhere")
    recipe = recipes.load(write_recipe(text=text))
    with pytest.raises(RecipeError, match=r"base_model is './elsewhere', and there is no folder"):
        recipes.check(recipe)


CHAT = """\
base_model: ./base
trainer: lora
task: generation
data: {train: train.jsonl, messages: turns, chat_template: ./chat.jinja}
"""


def test_the_content_of_a_chat_template_file_is_part_of_the_recipe(write_recipe, tmp_path):
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    assert recipes.load(write_recipe(text=CHAT)).data.chat_template == "{{ messages }}"


def test_a_sound_recipe_passes_the_check(write_recipe):
    recipes.check(recipes.load(write_recipe()))


def test_a_recipe_made_in_python_is_checked_too(write_recipe):
    recipe = replace(recipes.load(write_recipe()), path=None, base_model="slmcheck/tiny", learning_rate=-1.0, seeds=0)
    with pytest.raises(RecipeError, match="has 2 problems") as caught:
        recipes.check(recipe)
    assert "learning_rate is -1; expected above 0 and at most 10" in str(caught.value)


def test_an_unknown_trainer_alone_keeps_its_own_error(write_recipe):
    with pytest.raises(UnknownPluginError, match="Unknown trainer 'lroa'"):
        recipes.check(replace(recipes.load(write_recipe()), trainer="lroa"))


def test_what_the_trainer_refuses_is_listed(write_recipe):
    text = write_recipe().read_text().replace("task: classification", "task: sequence_classification")
    recipe = recipes.load(write_recipe(text=text))
    with pytest.raises(RecipeError, match="sequence_classification"):
        recipes.check(recipe)


def test_recipes_of_a_folder_are_those_with_a_base_model(write_recipe, tmp_path):
    write_recipe(name="b.yaml")
    write_recipe(text=TOML, name="a.toml")
    write_recipe(text="services: {}\n", name="compose.yaml")
    write_recipe(text="base_model: [\n", name="broken.yaml")
    write_recipe(text="{", name="other.json")
    (tmp_path / "notes.txt").write_text("base_model")
    assert [path.name for path in recipes.find(tmp_path)] == ["a.toml", "b.yaml", "broken.yaml"]


def test_options_have_the_defaults_of_their_trainer(write_recipe):
    options = recipes.resolved_options(recipes.load(write_recipe("options: {r: 4}\n")))
    assert options["r"] == 4
    assert "lora_alpha" in options
