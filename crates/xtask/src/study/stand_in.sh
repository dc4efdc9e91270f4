#!/bin/sh
# Stands in for `limbeck` in the tests of `cargo xtask study`. It is started through a link in a test's own folder, where it
# logs its calls. A file `break` there has the next run break off: with a checkpoint if it says so, and without else.
here=$(dirname "$0")
command=$1
for word; do
    case $previous in
        --out) out=$word ;;
        --model | --models) model=$word ;;
        --train) train=$word ;;
        --seed) seed=$word ;;
        --config) config=$word ;;
    esac
    [ "$word" = --resume ] && command=resume
    previous=$word
done
# A student's folder is ARM-SEED/student.
arm() { basename "$(dirname "$1")"; }
case $command in
    distill | resume)
        echo "$command $(arm "$out")" >>"$here/log"
        [ "$command" = distill ] && { [ -f "$config" ] || exit 2; }
        if [ "$command" = resume ]; then [ -f "$out/checkpoint.safetensors" ] || exit 2; fi
        mkdir -p "$out"
        if [ -f "$here/break" ]; then
            checkpoint=$(cat "$here/break")
            rm "$here/break"
            [ "$checkpoint" = checkpoint ] && echo half >"$out/checkpoint.safetensors"
            exit 1
        fi
        {
            echo '{"event":"evaluated","step":0,"parts":{"Q-Q":0.5,"cosine":0.25},"untrained":{"Q-K":0.75}}'
            echo '{"event":"step","step":1,"loss":1,"parts":{"Q-Q":0.4}}'
            echo '{"event":"evaluated","step":1,"parts":{"Q-Q":0.125,"cosine":0.25},"untrained":{"Q-K":0.5}}'
        } >"$out/metrics.jsonl"
        rm -f "$out/checkpoint.safetensors"
        ;;
    baseline)
        echo "baseline $(arm "$out")" >>"$here/log"
        mkdir -p "$out"
        echo card >"$out/README.md"
        ;;
    evaluate)
        echo "evaluate $(arm "$model")" >>"$here/log"
        echo 'task,rows,model,parameters,bytes,sentences_per_second,metric,value,low,high,share_of_first,p'
        echo "\"pairs, all\",9,$model,1000000,4000000,5,Spearman,0.875,0.8,0.9,1,"
        echo "\"pairs, all\",9,$model,1000000,4000000,5,Pearson,,,,,"
        ;;
    finetune)
        echo "finetune $(arm "$model") $(basename "$(dirname "$train")") $seed" >>"$here/log"
        mkdir -p "$out"
        echo '{"mean":{"accuracy":0.75,"macro_f1":0.5},"seeds":[{"seed":1}]}' >"$out/results.json"
        for given in yes yes no yes; do echo "{\"label\":\"yes\",\"predicted\":\"$given\"}"; done >"$out/predictions.jsonl"
        ;;
esac
