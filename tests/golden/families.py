"""Goldens of further encoder families: what transformers computes with a tiny random DistilBERT, ELECTRA, ModernBERT, MPNet, Nomic
BERT, GTE, EuroBERT, Qwen3, Gemma 3 and DeBERTa-v3, and what jina.py does with a tiny JinaBERT.

Made by:  cargo xtask golden     (after encoder.py, whose WordPiece vocabulary all models have)
Read by:  the parity tests of the encoder and the tests of the command line, which add tiny-bert's tokenizer

Writes beside this file, always the same bytes:
  tiny-distilbert/      config.json and weights as DistilBertForMaskedLM saves them: names with the prefix `distilbert.`, and
                        the head's tensors, which an encoder does not need; layer_norm_eps is 1e-12 in every DistilBERT
  tiny-electra/         the same of ElectraForPreTraining (`electra.`, `discriminator_predictions.`); embedding width 16,
                        hidden size 24, layer_norm_eps 2e-3
  tiny-modernbert/      the same of ModernBertForMaskedLM (`model.`); the second and third of four layers attend to two tokens on
                        either side; both kinds have a theta of their own; norm_eps 7e-4
  tiny-mpnet/           the same of MPNetForMaskedLM (`mpnet.`), whose table of distances is large enough to matter; positions start at 2
  tiny-nomic/           the same of NomicBertForMaskedLM; angles of theta 50, layer_norm_eps 5e-4
  tiny-gte/             the same of GteForMaskedLM; angles of theta 40 and 1.1 times slower, layer_norm_eps 4e-4
  tiny-jina/            config.json and weights of JinaBertModel; three heads, so that their slopes are of two kinds; layer_norm_eps 2e-3
  tiny-eurobert/        the same of EuroBertForMaskedLM (`model.`); two heads of queries share one of keys and values; theta 70,
                        rms_norm_eps 6e-4
  tiny-qwen3/           the same of Qwen3ForCausalLM, whose heads are wider than their share of the hidden size; theta 90, rms_norm_eps 8e-4
  tiny-gemma3/          the same of Gemma3ForCausalLM, to both sides; all layers but the third attend to two tokens on either side; both
                        kinds have a theta of their own; scores are divided by the root of 9; rms_norm_eps 3e-4
  tiny-gemma3-causal/   the same, to the tokens before: layers with a window attend to a token and the three before it
  tiny-deberta/         the same of DebertaV2ForMaskedLM (`deberta.`), whose keys of distances and their queries come from the projections
                        of tokens; 6 buckets of distances up to 11, so that some grow with the distance and some end; layer_norm_eps 7e-4
  tiny-deberta-apart/   the same with projections of their own for distances, which have a row each, up to 5, and no norm; embedding width 16,
                        two token types, layer_norm_eps 4e-4
  families.safetensors  tensors of "distilbert", "electra", "modernbert", "mpnet", "nomic", "gte", "jina", "eurobert", "qwen3", "gemma3",
                        "gemma3_causal", "deberta" and "deberta_apart", named as encoder.py names those of "bert"; hidden.0 of ELECTRA is what leaves the projection behind the
                        embeddings, the last one of ModernBERT, EuroBERT, Qwen3 and Gemma 3 what leaves the norm behind the last layer; .q and .k are not turned by their positions yet, and normalised where heads are

The activations are computed in float64 (rotations and RMSNorm in float32, as transformers has them) and rounded once to float32.
Rows at or past a sequence's length mean nothing.
"""

import torch
import transformers
from safetensors.torch import save_file
from transformers import BertConfig, DebertaV2Config, DebertaV2ForMaskedLM
from transformers import DistilBertConfig, DistilBertForMaskedLM, ElectraConfig, ElectraForPreTraining
from transformers import EuroBertConfig, EuroBertForMaskedLM, Gemma3ForCausalLM, Gemma3TextConfig
from transformers import GteConfig, GteForMaskedLM, ModernBertConfig, ModernBertForMaskedLM
from transformers import MPNetConfig, MPNetForMaskedLM, NomicBertConfig, NomicBertForMaskedLM
from transformers import Qwen3Config, Qwen3ForCausalLM

from encoder import HERE, activations, wordpiece_tokenizer
from jina import JinaBertModel


# Special tokens of the vocabulary, for configs that would name others.
SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}

# Angles of two kinds of layers.
OF_KINDS = {
    "full_attention": {"rope_type": "default", "rope_theta": 600.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
}


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    vocab_size = wordpiece_tokenizer().get_vocab_size()
    distilbert, electra, modernbert = tiny_distilbert(vocab_size), tiny_electra(vocab_size), tiny_modernbert(vocab_size)
    write_model(distilbert, HERE / "tiny-distilbert", weight_std=0.22, seed=21)
    write_model(electra, HERE / "tiny-electra", weight_std=0.25, seed=22)
    mpnet = tiny_mpnet(vocab_size)
    write_model(modernbert, HERE / "tiny-modernbert", weight_std=0.25, seed=25)
    golden = activations("distilbert", distilbert.distilbert, lengths=[3, 10, 6], first_word=5, seed=23)
    golden |= activations("electra", electra.electra, lengths=[8, 1, 12], first_word=5, seed=24)
    golden |= activations("modernbert", modernbert.model, lengths=[3, 13, 7], first_word=5, seed=26)
    write_model(mpnet, HERE / "tiny-mpnet", weight_std=0.25, seed=27)
    golden |= activations("mpnet", mpnet.mpnet, lengths=[24, 2, 9], first_word=5, seed=28)
    nomic, gte, jina = tiny_nomic(vocab_size), tiny_gte(vocab_size), tiny_jina(vocab_size)
    write_model(nomic, HERE / "tiny-nomic", weight_std=0.25, seed=29)
    golden |= activations("nomic", nomic.nomic_bert, lengths=[5, 14, 1], first_word=5, seed=30)
    write_model(gte, HERE / "tiny-gte", weight_std=0.25, seed=31)
    golden |= activations("gte", gte.gte, lengths=[11, 4, 15], first_word=5, seed=32)
    write_model(jina, HERE / "tiny-jina", weight_std=0.25, seed=33)
    golden |= activations("jina", jina, lengths=[2, 19, 8], first_word=5, seed=34)
    eurobert = tiny_eurobert(vocab_size)
    write_model(eurobert, HERE / "tiny-eurobert", weight_std=0.25, seed=35)
    golden |= activations("eurobert", eurobert.model, lengths=[9, 3, 16], first_word=5, seed=36)
    qwen3, gemma3 = tiny_qwen3(vocab_size), tiny_gemma3(vocab_size)
    write_model(qwen3, HERE / "tiny-qwen3", weight_std=0.25, seed=37)
    golden |= activations("qwen3", qwen3.model, lengths=[4, 15, 8], first_word=5, seed=38)
    write_model(gemma3, HERE / "tiny-gemma3", weight_std=0.25, seed=39)
    golden |= activations("gemma3", gemma3.model, lengths=[13, 2, 10], first_word=5, seed=40)
    deberta, apart = tiny_deberta(vocab_size), tiny_deberta_apart(vocab_size)
    write_model(deberta, HERE / "tiny-deberta", weight_std=0.25, seed=41)
    golden |= activations("deberta", deberta.deberta, lengths=[5, 17, 11], first_word=5, seed=42)
    write_model(apart, HERE / "tiny-deberta-apart", weight_std=0.25, seed=43)
    golden |= activations("deberta_apart", apart.deberta, lengths=[12, 1, 7], first_word=5, seed=44)
    causal = tiny_gemma3(vocab_size, both_sides=False, window=4)
    write_model(causal, HERE / "tiny-gemma3-causal", weight_std=0.25, seed=45)
    golden |= activations("gemma3_causal", causal.model, lengths=[6, 14, 3], first_word=5, seed=46)
    save_file(golden, HERE / "families.safetensors")


def tiny(config, vocab_size, **own):
    """A config of sizes that most of the models share, and of what this one says otherwise or besides."""
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": 24,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "intermediate_size": 20,
        "max_position_embeddings": 40,
    }
    return config(**sizes | own)


def tiny_distilbert(vocab_size):
    return DistilBertForMaskedLM(
        DistilBertConfig(
            vocab_size=vocab_size,
            dim=24,
            n_heads=3,
            n_layers=3,
            hidden_dim=40,
            max_position_embeddings=40,
            activation="gelu",
        )
    )


def tiny_electra(vocab_size):
    return ElectraForPreTraining(
        tiny(
            ElectraConfig,
            vocab_size,
            embedding_size=16,
            num_attention_heads=4,
            intermediate_size=36,
            layer_norm_eps=2e-3,
            type_vocab_size=2,
            hidden_act="gelu",
        )
    )


def tiny_modernbert(vocab_size):
    return ModernBertForMaskedLM(
        tiny(
            ModernBertConfig,
            vocab_size,
            num_hidden_layers=4,
            norm_eps=7e-4,
            global_attn_every_n_layers=3,
            local_attention=5,
            rope_parameters=OF_KINDS,
            cls_token_id=2,
            sep_token_id=3,
            **SPECIAL,
        )
    )


def tiny_mpnet(vocab_size):
    return MPNetForMaskedLM(
        tiny(MPNetConfig, vocab_size, intermediate_size=36, layer_norm_eps=2e-3, max_position_embeddings=42)
    )


def tiny_nomic(vocab_size):
    return NomicBertForMaskedLM(
        tiny(
            NomicBertConfig,
            vocab_size,
            num_hidden_layers=3,
            layer_norm_eps=5e-4,
            type_vocab_size=2,
            rope_parameters={"rope_type": "default", "rope_theta": 50.0},
        )
    )


def tiny_gte(vocab_size):
    return GteForMaskedLM(
        tiny(
            GteConfig,
            vocab_size,
            layer_norm_eps=4e-4,
            type_vocab_size=1,
            pad_token_id=0,
            rope_parameters={"rope_type": "linear", "rope_theta": 40.0, "factor": 1.1},
        )
    )


def tiny_eurobert(vocab_size):
    return EuroBertForMaskedLM(
        tiny(
            EuroBertConfig,
            vocab_size,
            num_attention_heads=4,
            num_key_value_heads=2,
            rms_norm_eps=6e-4,
            rope_parameters={"rope_type": "default", "rope_theta": 70.0},
            mask_token_id=4,
            **SPECIAL,
        )
    )


def tiny_qwen3(vocab_size):
    return Qwen3ForCausalLM(
        tiny(
            Qwen3Config,
            vocab_size,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=10,
            rms_norm_eps=8e-4,
            rope_parameters={"rope_type": "default", "rope_theta": 90.0},
            tie_word_embeddings=True,
            **SPECIAL,
        )
    )


def tiny_gemma3(vocab_size, both_sides=True, window=5):
    return Gemma3ForCausalLM(
        tiny(
            Gemma3TextConfig,
            vocab_size,
            num_key_value_heads=1,
            head_dim=8,
            num_hidden_layers=4,
            rms_norm_eps=3e-4,
            sliding_window=window,
            layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
            rope_parameters=OF_KINDS,
            query_pre_attn_scalar=9,
            use_bidirectional_attention=both_sides,
            **SPECIAL,
        )
    )


def tiny_deberta(vocab_size):
    return DebertaV2ForMaskedLM(
        tiny(
            DebertaV2Config,
            vocab_size,
            relative_attention=True,
            position_biased_input=False,
            pos_att_type="p2c|c2p",
            share_att_key=True,
            position_buckets=6,
            max_relative_positions=12,
            norm_rel_ebd="layer_norm",
            type_vocab_size=0,
            layer_norm_eps=7e-4,
            legacy=False,
        )
    )


def tiny_deberta_apart(vocab_size):
    return DebertaV2ForMaskedLM(
        tiny(
            DebertaV2Config,
            vocab_size,
            embedding_size=16,
            relative_attention=True,
            position_biased_input=False,
            pos_att_type=["c2p", "p2c"],
            max_relative_positions=5,
            type_vocab_size=2,
            layer_norm_eps=4e-4,
        )
    )


def tiny_jina(vocab_size):
    config = tiny(
        BertConfig,
        vocab_size,
        layer_norm_eps=2e-3,
        position_embedding_type="alibi",
        feed_forward_type="geglu",
    )
    return JinaBertModel(config, add_pooling_layer=False)


def write_model(model, folder, weight_std, seed):
    """Fills the model with weights in which no term of the formulas is a no-op, and saves it."""
    random = torch.Generator().manual_seed(seed)
    scales = {id(part.weight): scale_of(part) for part in model.modules() if "Norm" in type(part).__name__}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if id(parameter) in scales:
                parameter.copy_(scales[id(parameter)] + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(weight_std * noise)
    model.eval()
    model.save_pretrained(folder)
    # Of decoders alone, and no encoder needs it.
    (folder / "generation_config.json").unlink(missing_ok=True)


def scale_of(norm):
    """The weight with which a norm changes no scale: Gemma's adds 1 to it."""
    return 0.0 if type(norm).__name__.startswith("Gemma") else 1.0


if __name__ == "__main__":
    main()
